import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts", "test/**/*.test.tsx"],
    // What a terminal or a CI system wants of colours is not about what tests look at.
    env: { FORCE_COLOR: "0" },
    globalSetup: "test/temporary-folder.ts",
    // Two cores: a third process only makes the native-library tests fight for them.
    maxWorkers: 2,
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});
