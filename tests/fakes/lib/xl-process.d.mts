import type { FakeXl } from './store.d.mts';

/** When a process began, as the kernel counts; undefined where there is none. */
export function startOf(pid: number): string | undefined;
/** Whether it is still the same process. */
export function isAlive(process: Pick<FakeXl, 'pid' | 'started'>): boolean;
