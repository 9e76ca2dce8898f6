import { defineConfig } from 'vitest/config';

const project = (name: string, include: string[], testTimeout: number, exclude: string[] = []) => ({
  test: {
    name,
    include,
    exclude,
    testTimeout,
    hookTimeout: 60_000,
    pool: 'forks' as const,
  },
});

export default defineConfig({
  test: {
    // Kernel and process tests share two cores: more workers only make deadlines miss.
    maxWorkers: 2,
    reporters: ['default', './test/support/count-reporter.ts'],
    projects: [
      project('architecture', ['test/unit/architecture.test.ts'], 20_000),
      project('unit', ['test/unit/**/*.test.ts'], 10_000, ['test/unit/architecture.test.ts']),
      project('property', ['test/property/**/*.test.ts'], 60_000),
      project('conformance', ['test/conformance/**/*.test.ts'], 60_000),
      project('integration', ['test/integration/**/*.test.ts'], 60_000),
      project('system', ['test/system/**/*.test.ts'], 120_000),
    ],
  },
});
