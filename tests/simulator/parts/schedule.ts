import { machine } from '../machine.ts';

/** What the daemon does by the clock is done when the story says that its time has come. */
export function createSchedule(expression: string, run: () => Promise<void>) {
  const process = machine.engine.running;
  const schedule = { expression, run };
  return {
    async start() {
      process?.schedules.push(schedule);
    },
    async stop() {
      process?.schedules.splice(process.schedules.indexOf(schedule), 1);
    },
  };
}
