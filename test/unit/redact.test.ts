import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { redactStream } from "../../engine/worker/printed.ts";
import { createRedactor } from "../../engine/worker/redact.ts";
import fc from "../rig/fast-check.ts";

const redactorOf = (KEY: string): ReturnType<typeof createRedactor> => {
  const redactor = createRedactor({ KEY });
  redactor.secret("KEY");
  return redactor;
};

/** Long enough that nothing of it stands in ordinary text by chance. */
const secrets = fc
  .string({ unit: fc.constantFrom(..."abcXYZ0189-_+/=\"'\\ %&äß€"), minLength: 12, maxLength: 80 })
  .map((text) => text.trim())
  .filter((text) => text.length >= 12);

/** What programs make of a text before they print it. */
const encodings: Readonly<Record<string, (text: string) => string>> = {
  "as it is": (text) => text,
  JSON: (text) => JSON.stringify({ error: text }),
  URL: (text) => `http://host/v1?key=${encodeURIComponent(text)}&more`,
  form: (text) => new URLSearchParams({ user: "me", key: text }).toString(),
  header: (text) => `Authorization: Basic ${Buffer.from(`user:${text}`).toString("base64")}`,
  "base64 of more": (text) => Buffer.from(`{"a":"${text}","b":1}`).toString("base64"),
  base64url: (text) => Buffer.from(`${text}.`).toString("base64url"),
  dump: (text) => Buffer.from(text).toString("hex"),
};

/** Pieces of a text of a length. */
const piecesOf = (text: string, length: number): string[] =>
  Array.from({ length: Math.max(0, text.length - length + 1) }, (_, at) => text.slice(at, at + length));

describe("a secret", () => {
  it("is hidden from the moment it was read, whoever quotes it", () => {
    const redactor = createRedactor({ KEY: 'a b"c/d', SHORT: "abc" });
    expect(redactor.redact('a b"c/d')).toBe('a b"c/d');
    expect(redactor.active()).toBe(false);
    expect(redactor.secret("KEY")).toBe('a b"c/d');
    const quoted = `${JSON.stringify({ key: 'a b"c/d' })} ?k=${encodeURIComponent('a b"c/d')} a b"c/d`;
    expect(redactor.redact(quoted)).toBe('{"key":"[KEY]"} ?k=[KEY] [KEY]');
    expect(redactor.secret("SHORT")).toBe("abc");
    expect(redactor.redact("alphabet abc")).toBe("alphabet abc");
    expect(redactor.secret("MISSING")).toBeUndefined();
  });

  it("is hidden in any encoding, whatever stands around it", () => {
    fc.assert(
      fc.property(secrets, fc.constantFrom(...Object.keys(encodings)), fc.string(), (secret, how, around) => {
        const quote = encodings[how] ?? String;
        const said = redactorOf(secret).redact(around + quote(secret));
        expect(said).toContain("[KEY]");
        // Base64 lets a character or two at either end stand for the secret and its neighbour together.
        const left = said.replaceAll("[KEY]", "").length - around.length - quote("").length;
        expect(left).toBeLessThanOrEqual(6);
      }),
    );
  });

  it("is hidden where it was cut off, at either end", () => {
    fc.assert(
      fc.property(secrets, fc.nat(100), fc.nat(100), (secret, from, to) => {
        const part = secret.slice(from % secret.length, secret.length - (to % secret.length));
        const said = redactorOf(secret).redact(`before ${part}... and 12 more characters`);
        for (const piece of piecesOf(part, 16)) expect(said).not.toContain(piece);
      }),
    );
  });

  it("leaves other texts as they are", () => {
    fc.assert(
      fc.property(secrets, fc.string(), (secret, text) => {
        fc.pre(piecesOf(text, 8).every((piece) => !secret.includes(piece)));
        expect(redactorOf(`${secret}#§~`).redact(text)).toBe(text);
      }),
    );
  });

  it("of several lines is hidden line by line", () => {
    const lines = [
      "-----BEGIN KEY-----",
      "MIIEvQIBADANBgkqhkiG9w0BAQ",
      "EFAASCBKcwggSjAgEAAoIBAQC7",
      "-----END KEY-----",
    ];
    const redactor = redactorOf(`${lines.join("\n")}\n`);
    for (const line of lines) expect(redactor.redact(`read ${line}`)).toBe("read [KEY]");
    expect(redactor.redact(`${lines.join("\r\n")} end`)).toMatch(/^(\[KEY\][\r\n]*)+ end$/);
  });

  it("is hidden in the texts of a value, whose form stays", () => {
    // A service account: a secret that is JSON itself.
    const secret = '{"type":"service_account","private_key":"abcdefgh"}';
    const redactor = redactorOf(secret);
    expect(redactor.redactJson({ type: "service_account", list: [secret, 1, null] })).toEqual({
      type: "service_account",
      list: ["[KEY]", 1, null],
    });
  });

  it("is not kept, in whatever form; a word that stands in for none may be", () => {
    fc.assert(
      fc.property(secrets, fc.constantFrom(...Object.keys(encodings)), (secret, how) => {
        expect(redactorOf(secret).heldBy(encodings[how]?.(secret) ?? "")).toBe("KEY");
        expect(redactorOf(secret).heldBy("nothing of that kind")).toBeUndefined();
      }),
    );
    expect(redactorOf("EMPTY").heldBy("the bladder is EMPTY")).toBeUndefined();
  });
});

describe("outputs that hold a secret", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "ranflow-redact-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("are found in any file of a folder, wherever reading is cut", async () => {
    const secret = "sk-0123456789abcdef";
    const redactor = redactorOf(secret);
    await mkdir(join(folder, "out", "deep"), { recursive: true });
    await writeFile(join(folder, "out", "a.txt"), "sk-0123456789");
    await symlink("/nowhere", join(folder, "out", "link"));
    expect(await redactor.heldByFiles(join(folder, "out"))).toBeUndefined();
    for (const before of [0, 2 ** 20 - 19, 2 ** 20 - 7, 2 ** 20, 2 ** 21 + 5]) {
      await writeFile(join(folder, "out", "deep", "b.bin"), `${"x".repeat(before)}${secret}tail`);
      expect(await redactor.heldByFiles(join(folder, "out")), String(before)).toBe("KEY");
    }
    expect(await redactor.heldByFiles(join(folder, "out", "deep", "b.bin"))).toBe("KEY");
    expect(await createRedactor({}).heldByFiles(join(folder, "not there"))).toBeUndefined();
  });
});

describe("what a worker prints", () => {
  const streamOf = (): { readonly stream: Pick<NodeJS.WriteStream, "write">; printed(): string } => {
    const written: string[] = [];
    const write = (chunk: unknown, ...rest: unknown[]): boolean => {
      written.push(Buffer.from(chunk as string).toString());
      for (const each of rest) if (typeof each === "function") each();
      return true;
    };
    return { stream: { write }, printed: () => written.join("") };
  };

  it("shows no secret, however it is cut into writes, and loses nothing else", () => {
    const cut = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(secrets, cut, fc.boolean(), (secret, sizes, asBytes) => {
        const { stream, printed } = streamOf();
        const { flush } = redactStream(stream, redactorOf(secret));
        const text = Buffer.from(`one\ntwo ${secret} three\n${secret}`);
        let at = 0;
        for (let i = 0; at < text.length; i++) {
          const size = sizes[i % sizes.length] ?? 1;
          const piece = text.subarray(at, at + size);
          if (asBytes) stream.write(piece);
          else stream.write(piece.toString("hex"), "hex");
          at += size;
        }
        flush();
        expect(printed()).toBe("one\ntwo [KEY] three\n[KEY]");
      }),
    );
  });

  it("is printed as it comes where there is nothing to hide, and calls back always", () => {
    const { stream, printed } = streamOf();
    redactStream(stream, createRedactor({}));
    stream.write("no line end");
    expect(printed()).toBe("no line end");
    const hiding = streamOf();
    redactStream(hiding.stream, redactorOf("0123456789"));
    let called = 0;
    hiding.stream.write("half", () => called++);
    hiding.stream.write("half", "utf8", () => called++);
    expect(called).toBe(2);
  });
});
