import type { NodeOutline, NodeType } from "../sdk.ts";

/** A node type with the ports that a node decides by its own fields; itself where its ports are fixed. */
export function withPorts(nodeType: NodeType, outline: NodeOutline): NodeType {
  const { ports, ...fixed } = nodeType;
  return ports ? { ...fixed, ...ports.derive(outline) } : nodeType;
}
