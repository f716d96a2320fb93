import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const fixture = (name: string) => readFileSync(new URL(`fixtures/${name}`, import.meta.url), 'utf8');

/** /proc and /sys of a node with xen02 (domid 2, no swap disk, vifname=vifxen02) and xen01 (domid 3), laid out as folders. */
export interface Capture {
  readonly root: string;
  readonly proc_dir: string;
  readonly sys_dir: string;
  /** Writes a file below the root, its folders too. */
  put(path: string, text: string): void;
  drop(path: string): void;
  /** /proc/net/dev with the bytes of these interfaces alone. */
  netDev(interfaces: Readonly<Record<string, readonly [rx: number, tx: number]>>): void;
  remove(): void;
}

const BOOT_ID = 'f3c9a3de-51b0-4c50-9b0e-6a1f0f4b3f0a\n';

/** Lays a real capture out in a temporary folder. */
export function layOutCapture(): Capture {
  const root = mkdtempSync(join(tmpdir(), 'dtc-xen-capture-'));
  const put = (path: string, text: string) => {
    const file = join(root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  };
  const backend = fixture('sys-xen-backend.txt');
  for (const [, path = '', value] of backend.matchAll(/^\/(sys\/\S+): (.*)$/gm)) put(path, `${value}\n`);
  for (const [, folder = '', name = ''] of backend.matchAll(/^\/(sys\/\S+\/net):\n(\S+)\/$/gm)) {
    mkdirSync(join(root, folder, name), { recursive: true });
  }
  for (const [, path = '', value] of fixture('sys-class-net-vif.txt').matchAll(/^(\S+): (.*)$/gm)) {
    put(join('sys/class/net', path), `${value}\n`);
  }
  put('proc/net/dev', fixture('proc-net-dev.txt'));
  put('proc/sys/kernel/random/boot_id', BOOT_ID);
  return {
    root,
    proc_dir: join(root, 'proc'),
    sys_dir: join(root, 'sys'),
    put,
    drop: (path) => rmSync(join(root, path), { recursive: true }),
    netDev(interfaces) {
      const lines = Object.entries(interfaces).map(
        ([name, [rx, tx]]) => `${name.padStart(6)}: ${rx} 1 0 0 0 0 0 0 ${tx} 1 0 0 0 0 0 0`,
      );
      const head = fixture('proc-net-dev.txt').split('\n').slice(0, 2);
      put('proc/net/dev', `${[...head, ...lines].join('\n')}\n`);
    },
    remove: () => rmSync(root, { recursive: true }),
  };
}
