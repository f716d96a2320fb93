import type { JobStatus } from './ports.ts';

/** How much of a job's time is over, in whole percent: the shares of the steps that have ended. */
export function percentDone({ state, steps }: Pick<JobStatus, 'state' | 'steps'>): number {
  if (state === 'succeeded') return 100;
  // The step that a job failed in has an end, and is not done.
  const done = steps.slice(0, -1).reduce((sum, { share }) => sum + share, 0);
  return Math.min(99, Math.floor(done));
}
