/** What work costs this process, in milliseconds of its CPU: a busy machine does not make it more. */
export async function cpuOf<T>(work: () => T | Promise<T>): Promise<{ cpu_ms: number; answer: T }> {
  const before = process.cpuUsage();
  const answer = await work();
  const { user, system } = process.cpuUsage(before);
  return { cpu_ms: (user + system) / 1_000, answer };
}
