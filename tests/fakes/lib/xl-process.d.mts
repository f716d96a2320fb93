/** When a process began, as the kernel counts; undefined where there is none. */
export function startOf(pid: number): string | undefined;
/** Makes a sign of life, which is there for as long as a process has the returned descriptor. */
export function makeSign(path: string): number;
