import type { InstallContext } from '../../../src/core/bases.ts';

/** A system is unpacked by one program; stories have no thin pool. */
export const createBases = () => ({
  install: (_: unknown, root: string, context: InstallContext) =>
    context.script('base-unpack', ['--root', root], { timeout_ms: 600_000 }),
  volume: async () => undefined,
  tidy: async () => [],
});
