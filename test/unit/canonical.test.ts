import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { canonicalJson } from "../../cache/canonical.ts";
import { digestBytes, digestFile, taggedHash } from "../../cache/hash.ts";
import type { Json } from "../../engine/model/json.ts";
import fc from "../rig/fast-check.ts";

describe("canonical JSON", () => {
  it("writes the example of RFC 8785, section 3.2.2", () => {
    const value = {
      numbers: [333333333.3333333, 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
      string: "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"/",
      literals: [null, true, false],
    };
    expect(canonicalJson(value)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  it("sorts names by UTF-16 code units, as in RFC 8785, section 3.2.3", () => {
    const value = {
      "\u20ac": "Euro Sign",
      "\r": "Carriage Return",
      "\ufb33": "Hebrew Letter Dalet With Dagesh",
      "1": "One",
      "\ud83d\ude00": "Emoji: Grinning Face",
      "\u0080": "Control",
      "\u00f6": "Latin Small Letter O With Diaeresis",
    };
    expect(Object.values(JSON.parse(canonicalJson(value)) as object)).toHaveLength(7);
    const order = [...canonicalJson(value).matchAll(/:"([^"]+)"/g)].map(([, text]) => text);
    expect(order).toEqual([
      "Carriage Return",
      "One",
      "Control",
      "Latin Small Letter O With Diaeresis",
      "Euro Sign",
      "Emoji: Grinning Face",
      "Hebrew Letter Dalet With Dagesh",
    ]);
  });

  // Appendix B of RFC 8785: IEEE 754 bits and their text.
  it.each([
    ["0000000000000000", "0"],
    ["8000000000000000", "0"],
    ["0000000000000001", "5e-324"],
    ["8000000000000001", "-5e-324"],
    ["7fefffffffffffff", "1.7976931348623157e+308"],
    ["4340000000000000", "9007199254740992"],
    ["4430000000000000", "295147905179352830000"],
    ["44b52d02c7e14af5", "9.999999999999997e+22"],
    ["44b52d02c7e14af6", "1e+23"],
    ["444b1ae4d6e2ef4e", "999999999999999700000"],
    ["444b1ae4d6e2ef50", "1e+21"],
    ["3eb0c6f7a0b5ed8c", "9.999999999999997e-7"],
    ["3eb0c6f7a0b5ed8d", "0.000001"],
    ["41b3de4355555553", "333333333.3333332"],
    ["becbf647612f3696", "-0.0000033333333333333333"],
    ["43143ff3c1cb0959", "1424953923781206.2"],
  ])("writes the number %s as %s", (bits, text) => {
    expect(canonicalJson(Buffer.from(bits, "hex").readDoubleBE())).toBe(text);
  });

  it.each([
    ["NaN", { a: [Number.NaN] }, "a[0]"],
    ["an infinity", { a: { b: -Infinity } }, "a.b"],
    ["undefined", { a: undefined }, "a"],
    ["a function", [() => 0], "[0]"],
    ["a lone surrogate", { a: "\ud800" }, "a"],
    ["a date", { when: new Date(0) }, "when"],
    ["a map", new Map(), "the top"],
  ])("refuses %s and says where it is", (_, value, place) => {
    expect(() => canonicalJson(value as never)).toThrow(`at ${place}`);
  });

  it("does not depend on the order of keys, and loses nothing", () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: "grapheme", maxDepth: 4 }), (value) => {
        const shuffled = reversed(value as Json);
        expect(canonicalJson(shuffled)).toBe(canonicalJson(value as Json));
        expect(JSON.parse(canonicalJson(value as Json))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it("is what the rules give when followed one by one, with whatever names", () => {
    const names = fc.constantFrom(
      "10",
      "9",
      "1",
      "a",
      "B",
      "ab",
      "",
      "__proto__",
      "toJSON",
      "\u20ac",
      "\ud83d\ude00",
    );
    const { value: values } = fc.letrec<{ value: Json }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom<Json>(null, true, 0, -0, 1e21, "text", '\u2028"\\'),
        fc.array(tie("value"), { maxLength: 3 }),
        fc
          .array(fc.tuple(names, tie("value")), { maxLength: 5 })
          .map((entries) => Object.fromEntries(entries)),
      ),
    }));
    fc.assert(
      fc.property(values, (value) => {
        expect(canonicalJson(value)).toBe(plainly(value));
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("hashes", () => {
  it("are SHA-256 of the bytes, for a file as for a buffer", async () => {
    const folder = await mkdtemp(join(tmpdir(), "ranflow-hash-"));
    try {
      for (const size of [0, 1, (1 << 20) - 1, 1 << 20, 2_500_000]) {
        const bytes = Buffer.alloc(size, "ranflow");
        await writeFile(join(folder, "file"), bytes);
        const expected = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
        expect(digestBytes(bytes)).toBe(expected);
        expect(await digestFile(join(folder, "file"))).toEqual({ digest: expected, size });
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("keep domains apart", () => {
    expect(taggedHash("a", { x: 1 })).toMatch(/^[0-9a-f]{64}$/);
    expect(taggedHash("a", { x: 1 })).not.toBe(taggedHash("b", { x: 1 }));
    expect(taggedHash("a", { x: 1, y: -0 })).toBe(taggedHash("a", { y: 0, x: 1 }));
  });
});

function reversed(value: Json): Json {
  if (Array.isArray(value)) return value.map((item: Json) => reversed(item));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).toReversed();
  return Object.fromEntries(entries.map(([name, item]): [string, Json] => [name, reversed(item)]));
}

/** Canonical JSON by its definition, member by member. */
function plainly(value: Json): string {
  if (Array.isArray(value)) return `[${value.map((item: Json) => plainly(item)).join()}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, item]) => `${JSON.stringify(name)}:${plainly(item)}`).join()}}`;
}
