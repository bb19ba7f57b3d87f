import { PickleBytes, PickleError } from "./pickle-bytes.ts";

/** A global name that a pickle may use. What it stands for is ours: no name leads to code outside this folder. */
export interface PickleGlobal {
  /** As Python writes it, for messages. */
  readonly name: string;
  /** The value of a call with these arguments. */
  call(args: readonly unknown[]): unknown;
}

/** An object whose state a pickle may set. */
export interface PickleObject {
  setState(state: unknown): void;
}

/** What a pickle may ask for. */
export interface PickleWorld {
  /** @throws PickleError where the name is not allowed */
  global(module: string, name: string): PickleGlobal;
  persistent(id: unknown): unknown;
}

/** The opcodes of protocols 2 to 5 that torch.save and torch.jit.save write. */
const op = {
  proto: 0x80,
  frame: 0x95,
  stop: 0x2e,
  mark: 0x28,
  pop: 0x30,
  popMark: 0x31,
  binput: 0x71,
  longBinput: 0x72,
  memoize: 0x94,
  binget: 0x68,
  longBinget: 0x6a,
  none: 0x4e,
  newTrue: 0x88,
  newFalse: 0x89,
  binint: 0x4a,
  binint1: 0x4b,
  binint2: 0x4d,
  long1: 0x8a,
  binfloat: 0x47,
  binunicode: 0x58,
  shortBinunicode: 0x8c,
  binunicode8: 0x8d,
  binbytes: 0x42,
  shortBinbytes: 0x43,
  binbytes8: 0x8e,
  emptyTuple: 0x29,
  tuple: 0x74,
  tuple1: 0x85,
  tuple2: 0x86,
  tuple3: 0x87,
  emptyList: 0x5d,
  append: 0x61,
  appends: 0x65,
  emptyDict: 0x7d,
  setitem: 0x73,
  setitems: 0x75,
  emptySet: 0x8f,
  additems: 0x90,
  global: 0x63,
  stackGlobal: 0x93,
  binpersid: 0x51,
  reduce: 0x52,
  newobj: 0x81,
  build: 0x62,
} as const;

/**
 * Reads one pickle without running anything: dictionaries become Maps, lists and tuples arrays, sets Sets; a global
 * name or an object is whatever `world` makes of it, and a name it does not know ends the reading. Written for this
 * program since readers at hand call and construct what is on the stack, and lose where a pickle ends.
 *
 * @param start where in `bytes` the pickle begins
 * @returns its value, and where it ends
 * @throws PickleError
 */
export function unpickle(
  bytes: Uint8Array,
  world: PickleWorld,
  start = 0,
): { readonly value: unknown; readonly end: number } {
  const input = new PickleBytes(bytes, start);
  const memo = new Map<number, unknown>();
  const outer: unknown[][] = [];
  let stack: unknown[] = [];

  const pop = (): unknown => {
    if (stack.length === 0)
      throw new PickleError("its pickle is damaged: it takes a value that is not there");
    return stack.pop();
  };
  const top = (): unknown => {
    const value = pop();
    stack.push(value);
    return value;
  };
  /** The values since the last mark. */
  const popToMark = (): unknown[] => {
    const items = stack;
    const before = outer.pop();
    if (!before) throw new PickleError("its pickle is damaged: it goes back to a mark that is not there");
    stack = before;
    return items;
  };
  const tuple = (length: number): void => {
    const items = Array.from({ length }, pop).toReversed();
    stack.push(items);
  };
  const recall = (index: number): void => {
    if (!memo.has(index)) throw new PickleError(`its pickle is damaged: it has no value ${index}`);
    stack.push(memo.get(index));
  };
  const setItems = (items: readonly unknown[]): void => {
    const target = expect(top(), isMap, "a dictionary");
    if (items.length % 2 !== 0) throw new PickleError("its pickle is damaged: a key has no value");
    for (let i = 0; i < items.length; i += 2) target.set(items[i], items[i + 1]);
  };
  const append = (items: readonly unknown[]): void => {
    const list = expect(top(), isList, "a list");
    for (const item of items) list.push(item);
  };
  const call = (): void => {
    const args = expect(pop(), isList, "a tuple of arguments");
    stack.push(expect(pop(), isGlobal, "a name that may be called").call(args));
  };

  for (;;) {
    const code = input.uint8();
    switch (code) {
      case op.proto: {
        const protocol = input.uint8();
        if (protocol < 2 || protocol > 5)
          throw new PickleError(`its pickle has protocol ${protocol}; 2 to 5 are read`);
        break;
      }
      case op.frame:
        input.uint64();
        break;
      case op.stop:
        return { value: pop(), end: input.at };
      case op.mark:
        outer.push(stack);
        stack = [];
        break;
      case op.pop:
        pop();
        break;
      case op.popMark:
        popToMark();
        break;
      case op.binput:
        memo.set(input.uint8(), top());
        break;
      case op.longBinput:
        memo.set(input.uint32(), top());
        break;
      case op.memoize:
        memo.set(memo.size, top());
        break;
      case op.binget:
        recall(input.uint8());
        break;
      case op.longBinget:
        recall(input.uint32());
        break;
      case op.none:
        stack.push(null);
        break;
      case op.newTrue:
        stack.push(true);
        break;
      case op.newFalse:
        stack.push(false);
        break;
      case op.binint:
        stack.push(input.int32());
        break;
      case op.binint1:
        stack.push(input.uint8());
        break;
      case op.binint2:
        stack.push(input.uint16());
        break;
      case op.long1:
        stack.push(input.integer(input.uint8()));
        break;
      case op.binfloat:
        stack.push(input.float64());
        break;
      case op.binunicode:
        stack.push(input.text(input.uint32()));
        break;
      case op.shortBinunicode:
        stack.push(input.text(input.uint8()));
        break;
      case op.binunicode8:
        stack.push(input.text(input.uint64()));
        break;
      case op.binbytes:
        stack.push(input.slice(input.uint32()));
        break;
      case op.shortBinbytes:
        stack.push(input.slice(input.uint8()));
        break;
      case op.binbytes8:
        stack.push(input.slice(input.uint64()));
        break;
      case op.emptyTuple:
      case op.emptyList:
        stack.push([]);
        break;
      case op.tuple: {
        const items = popToMark();
        stack.push(items);
        break;
      }
      case op.tuple1:
        tuple(1);
        break;
      case op.tuple2:
        tuple(2);
        break;
      case op.tuple3:
        tuple(3);
        break;
      case op.append: {
        const item = pop();
        append([item]);
        break;
      }
      case op.appends:
        append(popToMark());
        break;
      case op.emptyDict:
        stack.push(new Map());
        break;
      case op.setitem: {
        const value = pop();
        setItems([pop(), value]);
        break;
      }
      case op.setitems:
        setItems(popToMark());
        break;
      case op.emptySet:
        stack.push(new Set());
        break;
      case op.additems: {
        const items = popToMark();
        const set = expect(top(), isSet, "a set");
        for (const item of items) set.add(item);
        break;
      }
      case op.global: {
        const module = input.line();
        stack.push(world.global(module, input.line()));
        break;
      }
      case op.stackGlobal: {
        const name = expect(pop(), isText, "a name");
        stack.push(world.global(expect(pop(), isText, "a module's name"), name));
        break;
      }
      case op.binpersid:
        stack.push(world.persistent(pop()));
        break;
      case op.reduce:
      case op.newobj:
        call();
        break;
      case op.build: {
        const state = pop();
        const target = top();
        // An OrderedDict of torch carries the versions of its modules this way; they are not needed.
        if (!isMap(target)) expect(target, isObject, "an object with a state").setState(state);
        break;
      }
      default:
        throw new PickleError(
          `its pickle holds the operation 0x${code.toString(16).padStart(2, "0")}, which torch.save does not write`,
        );
    }
  }
}

function expect<T>(value: unknown, is: (value: unknown) => value is T, what: string): T {
  if (is(value)) return value;
  throw new PickleError(`its pickle is damaged: ${what} was expected`);
}

const isMap = (value: unknown): value is Map<unknown, unknown> => value instanceof Map;
const isSet = (value: unknown): value is Set<unknown> => value instanceof Set;
const isList = (value: unknown): value is unknown[] => Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === "string";
const isGlobal = (value: unknown): value is PickleGlobal =>
  typeof value === "object" && value !== null && "call" in value && !isMap(value);
const isObject = (value: unknown): value is PickleObject =>
  typeof value === "object" && value !== null && "setState" in value;
