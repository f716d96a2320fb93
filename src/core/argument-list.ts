/**
 * Takes this process's arguments out of what ps(1) and /proc show: a password may be among them. Until here, everybody on the machine
 * could see them; what called this program may show its own copy for longer.
 */
export function hideArguments(name: string): void {
  process.title = name;
}
