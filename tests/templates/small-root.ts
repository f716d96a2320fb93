// Small roots of guests for tests: a mounted file system, and programs of this machine with the libraries that they need.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

/** The shipped templates. */
export const TEMPLATES = resolve(import.meta.dirname, '../../templates/os');
const SCRIPTS = resolve(import.meta.dirname, '../../scripts');
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

/** A folder for a test, with a file system mounted at `root` in it; `remove` takes both away. */
export function makeMountedRoot(size = '64M') {
  const folder = mkdtempSync(join(tmpdir(), 'template-'));
  execFileSync('chmod', ['755', folder]);
  const root = join(folder, 'root');
  mkdirSync(root);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `mode=755,size=${size}`, 'test', root]);
  return {
    folder,
    root,
    remove() {
      execFileSync('umount', [root]);
      rmSync(folder, { recursive: true });
    },
  };
}

function libraries(program: string): string[] {
  const { stdout } = spawnSync('ldd', [program], { encoding: 'utf8' });
  return [...stdout.matchAll(/(\/[^ ]+\.so[^ ]*)/g)].map(([path]) => path);
}

/** Puts this machine's programs into a root, with their libraries: enough for a chroot. */
export function copyPrograms(root: string, programs: readonly string[]): void {
  for (const folder of ['bin', 'sbin', 'lib', 'lib64']) {
    mkdirSync(join(root, 'usr', folder), { recursive: true });
    if (!existsSync(join(root, folder))) symlinkSync(`usr/${folder}`, join(root, folder));
  }
  for (const folder of ['etc', 'dev', 'proc', 'tmp', 'var/log', 'var/lib']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  execFileSync('mknod', ['-m', '666', join(root, 'dev/null'), 'c', '1', '3']);
  for (const program of programs) {
    const path = PATH.split(':')
      .map((folder) => join(folder, program))
      .find((file) => existsSync(file));
    if (path === undefined) throw new Error(`This machine has no program ${program}.`);
    for (const file of [path, ...libraries(path)]) {
      const into = join(root, file.startsWith('/usr/') ? file : `/usr${file}`);
      mkdirSync(dirname(into), { recursive: true });
      cpSync(realpathSync(file), into);
    }
  }
}

/** Runs a shipped template's program as a job does, and says how it ended. */
export function installTemplate(name: string, root: string, settings: Readonly<Record<string, string>> = {}) {
  const set = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
  const [template = ''] = name.split('-');
  const { status, stdout, stderr } = spawnSync(
    join(SCRIPTS, 'reinstall-hook'),
    [...set, join(TEMPLATES, template, 'install_os'), '-path', root, '-vpsid', '01', '-os', name],
    { encoding: 'utf8', timeout: 120_000, env: { PATH, LC_ALL: 'C' } },
  );
  return { exit_code: status, output: stdout + stderr };
}
