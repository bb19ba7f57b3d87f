import { useInput, useStdin } from "ink";
import type { Key } from "ink";
import type { Press } from "../ui-state.ts";

/** Calls `onPress` for each key. Characters that arrive together, over a slow line, are keys one by one. */
export function useKeys(onPress: (press: Press) => void): void {
  const { isRawModeSupported } = useStdin();
  useInput(
    (input, key) => {
      const named = namedKey(input, key);
      if (named) onPress(named);
      else if (!key.ctrl && !key.meta) for (const char of input) onPress(pressOf(char));
    },
    { isActive: isRawModeSupported },
  );
}

function namedKey(input: string, key: Key): Press | undefined {
  if (key.ctrl && input === "c") return { key: "interrupt" };
  if (key.ctrl && (input === "d" || input === "f")) return { key: "page-down" };
  if (key.ctrl && (input === "u" || input === "b")) return { key: "page-up" };
  if (key.ctrl && input === "n") return { key: "down" };
  if (key.ctrl && input === "p") return { key: "up" };
  if (key.upArrow) return { key: "up" };
  if (key.downArrow) return { key: "down" };
  if (key.leftArrow) return { key: "left" };
  if (key.rightArrow) return { key: "right" };
  if (key.pageUp) return { key: "page-up" };
  if (key.pageDown) return { key: "page-down" };
  if (key.home) return { key: "home" };
  if (key.end) return { key: "end" };
  if (key.return) return { key: "enter" };
  if (key.escape) return { key: "escape" };
  if (key.tab) return { key: key.shift ? "back-tab" : "tab" };
  if (key.backspace || key.delete) return { key: "backspace" };
  return undefined;
}

function pressOf(char: string): Press {
  if (char === "\r" || char === "\n") return { key: "enter" };
  if (char === "\t") return { key: "tab" };
  if (char === "\u007f" || char === "\b") return { key: "backspace" };
  if (char === "\u0003") return { key: "interrupt" };
  return { key: "char", char };
}
