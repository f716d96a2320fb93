import { afterEach, beforeEach } from 'vitest';

/** The steps of this suite build on each other: after one that failed, the others are left out. Never a retry. */
export function inOrder(): void {
  let failed: string | undefined;
  beforeEach(({ skip }) => {
    if (failed !== undefined) skip(`after: ${failed}`);
  });
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') failed = task.name;
  });
}
