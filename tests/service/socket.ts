// A real datagram socket where systemd's would be.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const LIMIT_MS = 20_000;

/** What was said in one datagram, and by whom. */
export interface Notice {
  readonly pid: number;
  readonly said: readonly string[];
}

/** The receiving end of NOTIFY_SOCKET. */
export interface NotifySocket {
  readonly path: string;
  readonly notices: readonly Notice[];
  /** Waits for the next notices up to one that says `assignment`; returns that. */
  until(assignment: string): Promise<Notice>;
  close(): Promise<void>;
}

/** Binds a socket in a folder of its own. */
export async function openNotifySocket(): Promise<NotifySocket> {
  const folder = mkdtempSync(join(tmpdir(), 'dtc-xen-notify-'));
  const path = join(folder, 'socket');
  const receiver = spawn('/usr/bin/python3', [join(import.meta.dirname, 'receiver.py'), path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(receiver, 'exit');
  const notices: Notice[] = [];
  let read = 0;
  let wake: () => void = () => undefined;
  createInterface({ input: receiver.stdout }).on('line', (line) => {
    notices.push(JSON.parse(line) as Notice);
    wake();
  });
  const until = async (assignment: string) => {
    const end = performance.now() + LIMIT_MS;
    for (;;) {
      for (let notice = notices[read]; notice; notice = notices[read]) {
        read += 1;
        if (notice.said.includes(assignment)) return notice;
      }
      const left_ms = end - performance.now();
      if (left_ms <= 0) throw new Error(`no ${assignment}, but: ${JSON.stringify(notices)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left_ms);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  };
  await until('bound');
  return {
    path,
    notices,
    until,
    async close() {
      receiver.kill();
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}
