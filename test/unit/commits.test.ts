import { setImmediate } from "node:timers/promises";
import { expect, it } from "vitest";
import { openCommits } from "../../cache/commits.ts";

it("hands over one commit at a time, and together what came meanwhile, in order", async () => {
  const commits = openCommits();
  const handed: string[] = [];
  const first = Promise.withResolvers<void>();
  const add = (name: string, write: Promise<unknown> = Promise.resolve()): Promise<void> =>
    commits.add({ queue: () => (handed.push(name), [write]) });
  const all = [add("a", first.promise), add("b")];
  await setImmediate();
  all.push(add("c"), add("d"));
  await setImmediate();
  expect(handed).toEqual(["a", "b"]);
  first.resolve();
  await Promise.all(all);
  expect(handed).toEqual(["a", "b", "c", "d"]);
});

it("hands over nothing after a commit that failed, and says why", async () => {
  const commits = openCommits();
  const cause = Object.assign(new Error("read-only"), { code: 30 });
  // As lmdb does it: the error that tells comes after the one that does not.
  const inner = Promise.withResolvers<never>();
  const outer = Promise.withResolvers<never>();
  const failing = commits.add({ queue: () => [outer.promise, outer.promise] });
  await setImmediate();
  const handed: string[] = [];
  const waiting = commits.add({ queue: () => (handed.push("waiting"), []) });
  outer.reject(Object.assign(new Error("Commit failed"), { commitError: inner.promise }));
  inner.reject(cause);
  await expect(failing).rejects.toBe(cause);
  await expect(waiting).rejects.toBe(cause);
  await expect(commits.add({ queue: () => (handed.push("later"), []) })).rejects.toBe(cause);
  expect(handed).toEqual([]);
  expect(commits.failed()).toBe(true);
});

it("hands over no write whose condition failed, and goes on with the others", async () => {
  const commits = openCommits();
  const handed: string[] = [];
  const cause = new Error("no such folder");
  const failing = commits.add({
    before: () => Promise.reject(cause),
    queue: () => (handed.push("failing"), []),
  });
  const other = commits.add({ before: async () => {}, queue: () => (handed.push("other"), []) });
  await expect(failing).rejects.toBe(cause);
  await other;
  await commits.add({ queue: () => (handed.push("later"), []) });
  expect(handed).toEqual(["other", "later"]);
  expect(commits.failed()).toBe(false);
});
