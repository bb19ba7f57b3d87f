/** Why a pickle cannot be read; whoever knows the file's name makes a message of it. */
export class PickleError extends Error {}

/** The bytes end before the pickle does. */
export class PickleEndsEarly extends PickleError {
  constructor() {
    super("its pickle ends early");
  }
}

/** A cursor over the bytes of a pickle. Every length is checked against what is there before anything is made. */
export class PickleBytes {
  readonly #bytes: Buffer;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = at;
  }

  /** Moves past `length` bytes. @returns where they begin */
  #take(length: number): number {
    const from = this.at;
    if (from + length > this.#bytes.length) throw new PickleEndsEarly();
    this.at = from + length;
    return from;
  }

  uint8(): number {
    return this.#bytes.readUInt8(this.#take(1));
  }

  uint16(): number {
    return this.#bytes.readUInt16LE(this.#take(2));
  }

  int32(): number {
    return this.#bytes.readInt32LE(this.#take(4));
  }

  uint32(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }

  /** A length of 8 bytes; one past what a double holds is past any file, too. */
  uint64(): number {
    return Number(this.#bytes.readBigUInt64LE(this.#take(8)));
  }

  /** Big-endian, unlike everything else in a pickle. */
  float64(): number {
    return this.#bytes.readDoubleBE(this.#take(8));
  }

  slice(length: number): Uint8Array {
    const from = this.#take(length);
    return Uint8Array.prototype.slice.call(this.#bytes, from, from + length);
  }

  text(length: number): string {
    const from = this.#take(length);
    return this.#bytes.toString("utf8", from, from + length);
  }

  /** Up to the next line feed, which is passed over. */
  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.at);
    if (end < 0) throw new PickleEndsEarly();
    const text = this.#bytes.toString("utf8", this.at, end);
    this.at = end + 1;
    return text;
  }

  /** A little-endian integer in two's complement, of any length up to 255 bytes. */
  integer(length: number): number | bigint {
    const from = this.#take(length);
    if (length === 0) return 0;
    const bigEndian = Buffer.from(this.#bytes.subarray(from, from + length).toReversed());
    const value = BigInt.asIntN(8 * length, BigInt(`0x${bigEndian.toString("hex")}`));
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }
}
