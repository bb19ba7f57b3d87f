import { describe, expect, it } from "vitest";
import { backendReport, probeBackend } from "../../nodes/compute/report.ts";
import { backendNames, loadBackend, openRuntime } from "../../nodes/compute/runtime.ts";

const loads = new Map(
  await Promise.all(backendNames.map(async (backend) => [backend, await loadBackend(backend, 1)] as const)),
);

for (const backend of backendNames) {
  const load = loads.get(backend);
  const skipped = load?.ok ? "" : ` (skipped: ${backend} does not load)`;

  describe.skipIf(skipped !== "")(`${backend}${skipped}`, () => {
    it("opens as the current backend of the one tfjs-core", async () => {
      const { tf, ...runtime } = await openRuntime({ backend, threads: 1 });
      expect(runtime.backend).toBe(backend);
      expect(tf.getBackend()).toBe(backend);
      expect(runtime.threads).toBe(1);
      expect(runtime.provenance).toMatchObject({ backend, threads: 1, "tfjs-core": tf.version_core });
      const other = await openRuntime({ backend: "cpu", threads: 1 });
      expect(other.tf).toBe(tf);
    });

    it("multiplies", async () => {
      const { tf } = await openRuntime({ backend, threads: 1 });
      const a = tf.tensor2d([1, 2, 3, 4, 5, 6], [2, 3]);
      const b = tf.tensor2d([1, 0, 0, 1, 1, 1], [3, 2]);
      expect([...(await tf.matMul(a, b).data())]).toEqual([4, 5, 10, 11]);
    });

    it("sums rows by segment, and drops negative ids", async () => {
      const { tf } = await openRuntime({ backend, threads: 1 });
      const rows = tf.tensor2d([1, 2, 10, 20, 100, 200, 1000, 2000], [4, 2]);
      const sums = tf.unsortedSegmentSum(rows, tf.tensor1d([2, 0, 2, -1], "int32"), 4);
      expect(sums.shape).toEqual([4, 2]);
      expect([...(await sums.data())]).toEqual([10, 20, 0, 0, 101, 202, 0, 0]);
    });

    it("works in a process of its own", async () => {
      expect(await probeBackend(backend)).toMatchObject({ ok: true });
    });
  });
}

describe("openRuntime", () => {
  it("takes the best backend that loads", async () => {
    const best = backendNames.find((backend) => loads.get(backend)?.ok);
    expect((await openRuntime({ backend: "auto", threads: 1 })).backend).toBe(best);
    expect((await backendReport()).map((status) => [status.backend, status.best])).toEqual(
      backendNames.map((backend) => [backend, backend === best]),
    );
  });

  it("names the backends where the name is unknown", async () => {
    await expect(openRuntime({ backend: "tensorflwo", threads: 1 })).rejects.toMatchObject({
      name: "NodeError",
      message: 'there is no compute backend "tensorflwo"',
      hint: "use auto, tensorflow, wasm, cpu",
    });
  });
});
