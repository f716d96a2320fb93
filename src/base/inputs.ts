import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DebianSystem } from '../core/bases.ts';
import { AgentError } from '../core/errors.ts';
import type { Runner } from '../core/runner.ts';

/** All that goes into a base: where one of these differs, it is another base. */
export interface BaseInputs {
  /** Debian's name: amd64. */
  readonly arch: string;
  readonly release: string;
  readonly mirror: string;
  /** The archive of security updates that is written into the guest's apt sources; empty where dom0 has none. */
  readonly security_mirror: string;
  /** Sorted, each once. */
  readonly packages: readonly string[];
  readonly tool: 'mmdebstrap' | 'debootstrap';
  readonly tool_version: string;
  /** SHA-256 of the scripts that make a base. */
  readonly recipe: string;
}

/** What finding out the inputs needs. */
export interface InputsDeps {
  readonly runner: Runner;
  readonly scripts_dir: string;
}

/** The scripts whose content decides what comes out. */
const RECIPE = ['base-make', 'reinstall-bootstrap', 'lib/apt-mirror', 'lib/checks', 'lib/locale'] as const;
const TOOLS = ['mmdebstrap', 'debootstrap'] as const;
const QUESTION_MS = 30_000;

/** The name of the base with these inputs: `trixie-` and 16 hex digits. */
export function baseKey(inputs: BaseInputs): string {
  const { arch, release, mirror, security_mirror, packages, tool, tool_version, recipe } = inputs;
  const all = [arch, release, mirror, security_mirror, packages, tool, tool_version, recipe];
  return `${release}-${createHash('sha256').update(JSON.stringify(all)).digest('hex').slice(0, 16)}`;
}

/** 16 hex digits that stand for what a base's volume has on it. */
export const contentOf = (made_from: readonly string[]): string =>
  createHash('sha256').update(JSON.stringify(made_from)).digest('hex').slice(0, 16);

/** The name of the base that a template makes: `image-web-` and 16 hex digits. */
export function templateKey(os: string): string {
  const word = os.toLowerCase().replace(/[^a-z0-9]+/g, '-');
  const key = /^[a-z]/.test(word) ? word : `t${word}`;
  return `${key.slice(0, 32)}-${contentOf([os])}`;
}

/** What dpkg knows, in one question: the node's architecture, and the tool that it installed. */
async function askDpkg(runner: Runner): Promise<Pick<BaseInputs, 'arch' | 'tool' | 'tool_version'>> {
  const { stdout } = await runner.check({
    label: 'dpkg-query',
    program: 'dpkg-query',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own format
    args: ['-W', '-f', '${Package} ${Version} ${Architecture} ${db:Status-Status}\n', 'dpkg', ...TOOLS],
    timeout_ms: QUESTION_MS,
    // One of the tools is not known.
    ok_codes: [1],
  });
  const installed = stdout
    .split('\n')
    .map((line) => line.split(' '))
    .filter((words) => words[3] === 'installed');
  const find = (name: string) => installed.find(([installed_name]) => installed_name === name);
  const arch = find('dpkg')?.[2];
  const tool = TOOLS.find(find);
  if (arch === undefined) throw new AgentError('program_output', 'dpkg-query does not know dpkg itself.');
  if (tool === undefined) {
    throw new AgentError(
      'program_missing',
      'Debian cannot be bootstrapped on this node: neither mmdebstrap nor debootstrap is installed; install mmdebstrap.',
    );
  }
  return { arch, tool, tool_version: find(tool)?.[1] ?? '' };
}

/**
 * What would go into a base of this system, here and now.
 *
 * @throws AgentError program_* where the node has no bootstrap tool, or its apt sources name no mirror
 */
export async function findInputs(
  { runner, scripts_dir }: InputsDeps,
  system: DebianSystem,
): Promise<BaseInputs> {
  const program = join(scripts_dir, 'lib/apt-mirror');
  const aptMirror = (args: readonly string[], ok_codes: readonly number[]) =>
    runner.check({ label: 'script apt-mirror', program, args, timeout_ms: QUESTION_MS, ok_codes });
  const recipe = async () => {
    const hash = createHash('sha256');
    for (const name of RECIPE) hash.update(await readFile(join(scripts_dir, name))).update('\0');
    return hash.digest('hex');
  };
  const [node, mirror, security, made_by] = await Promise.all([
    askDpkg(runner),
    system.mirror === '' ? aptMirror([], []) : { stdout: system.mirror },
    aptMirror(['--security'], [1]),
    recipe(),
  ]);
  return {
    ...node,
    release: system.release,
    mirror: mirror.stdout.trim(),
    security_mirror: security.stdout.trim(),
    packages: [...new Set(system.packages)].sort(),
    recipe: made_by,
  };
}
