// A fake node with guests whose disks are volumes, for tests of the fakes themselves.
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createFakeNode, type FakeNodeOptions } from './fake-node.ts';
import { type Answer, call } from './replay.ts';

/** Opens a fake node; `disk` makes a guest's line of a volume's path. */
export async function openNodeWithGuests(options: FakeNodeOptions = {}) {
  const node = await createFakeNode(options);
  const xen_dir = join(node.root, 'etc-xen');
  mkdirSync(join(xen_dir, 'auto'), { recursive: true });
  const xl = (...args: string[]): Promise<Answer> => call(node, ['xl', ...args]);

  return {
    node,
    xen_dir,
    xl,
    /** Writes a guest's configuration, and makes its volume. Returns the configuration's path. */
    async guest(name: string, disk = (path: string) => `phy:${path},xvda,w`): Promise<string> {
      await call(node, ['lvcreate', '-y', '-L', '64M', '-n', name, 'vg0']);
      const file = join(xen_dir, name);
      const line = disk(join(node.dev_dir, 'vg0', name));
      writeFileSync(
        file,
        `name = "${name}"\nkernel = "${node.kernel}"\nmemory = 256\ndisk = [ "${line}" ]\nvif = [ "mac=02:00:00:00:00:01" ]\n`,
      );
      return file;
    },
    domid: async (name: string) => (await node.domains()).find((each) => each.name === name)?.id,
    state: async (name: string) => (await node.domains()).find((each) => each.name === name)?.state,
    log: (name: string, ending = '') => {
      const file = join(node.xen_log_dir, `xl-${name}.log${ending}`);
      return existsSync(file) ? readFileSync(file, 'utf8') : '';
    },
    /** The processes of xl's that /proc shows: their arguments, and the log that they hold open. */
    processes: () =>
      readdirSync(node.proc_dir)
        .filter((pid) => /^\d+$/.test(pid) && pid !== '1')
        .flatMap((pid) => {
          const of = (file: string) => join(node.proc_dir, pid, file);
          try {
            const comm = readFileSync(of('comm'), 'utf8');
            const args = readFileSync(of('cmdline'), 'utf8').split('\0').slice(0, -1);
            return [{ pid: Number(pid), comm, args, log: readlinkSync(of('fd/1')) }];
          } catch (error) {
            // One that ends while it is looked at is none.
            if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
            throw error;
          }
        }),
  };
}
