// What was taken over is tried: a value of ten years ago can be well written and lead nowhere.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../config/schema.ts';
import { isMirror, tellMirror } from '../core/bases.ts';
import { AgentError } from '../core/errors.ts';
import type { Runner } from '../core/runner.ts';

/** How values are tried on this node. */
export interface Probes {
  /** Why nothing can be installed of this release from this mirror; undefined where it can. */
  readonly mirror: (address: string, release: string) => Promise<string | undefined>;
  /** Those of these packages that apt's lists do not have; none where there are no lists. */
  readonly unknownPackages: (names: readonly string[]) => Promise<readonly string[]>;
}

/** The keys that are to be changed, and a sentence for each. */
export interface Tried {
  readonly values: ReadonlyMap<string, string>;
  readonly notes: readonly string[];
}

/** Packages that Debian has no more, and what does their work. */
const SUCCESSORS: Readonly<Record<string, string>> = { 'module-init-tools': 'kmod' };

const packagesOf = (text: string) => text.split(/[ ,]+/).filter((name) => name !== '');

/** Tries the mirror and the packages that a configuration names; what cannot serve is replaced. */
export async function tryValues(
  config: Pick<Config, 'debian_repo' | 'debian_release' | 'debian_added_debs'>,
  probes: Probes,
): Promise<Tried> {
  const values = new Map<string, string>();
  const notes: string[] = [];
  const { debian_repo, debian_release, debian_added_debs } = config;
  if (debian_repo !== '') {
    const why = isMirror(debian_repo)
      ? await probes.mirror(debian_repo, debian_release)
      : 'Debian is fetched over http and https alone';
    if (why !== undefined) {
      values.set('debian_repo', '');
      notes.push(
        `dtc-xen.conf: debian_repo ${tellMirror(debian_repo)} cannot serve (${why}): the mirror in dom0's own apt sources is used`,
      );
    }
  }
  const names = packagesOf(debian_added_debs);
  const not_listed = names.length > 0 ? await probes.unknownPackages(names) : [];
  // Those are known to be no more, also where there are no lists.
  const unknown = names.filter((name) => Object.hasOwn(SUCCESSORS, name) || not_listed.includes(name));
  if (unknown.length > 0) {
    values.set('debian_added_debs', names.filter((name) => !unknown.includes(name)).join(','));
    const told = unknown.map((name) => {
      const successor = Object.hasOwn(SUCCESSORS, name) ? SUCCESSORS[name] : undefined;
      return successor === undefined ? name : `${name} (${successor} does its work now)`;
    });
    notes.push(`dtc-xen.conf: debian_added_debs: Debian has no ${told.join(', ')}; it is left out`);
  }
  return { values, notes };
}

const SECONDS = 20;

/** {@link Probes} that ask as apt does, over its proxies. */
export function createProbes(runner: Runner): Probes {
  return {
    async mirror(address, release) {
      const folder = await mkdtemp(join(tmpdir(), 'dtc-xen-mirror-'));
      try {
        const options = [`Acquire::http::Timeout=${SECONDS}`, `Acquire::https::Timeout=${SECONDS}`];
        const { exit_code, stdout, stderr } = await runner.run({
          label: 'apt-helper',
          program: '/usr/lib/apt/apt-helper',
          args: [
            ...[...options, 'Acquire::Retries=0'].flatMap((option) => ['-o', option]),
            ...['download-file', `${address.replace(/\/$/, '')}/dists/${release}/Release`],
            join(folder, 'Release'),
          ],
          timeout_ms: 3 * SECONDS * 1000,
        });
        if (exit_code === 0) return undefined;
        const said = `${stderr}\n${stdout}`.split('\n').find((line) => /^(?:E:|Err:)/.test(line));
        return `it has no release ${release}, or does not answer: ${(said ?? 'apt does not say why').trim().slice(0, 160)}`;
      } catch (error) {
        if (!(error instanceof AgentError)) throw error;
        return 'it does not answer';
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },

    async unknownPackages(names) {
      try {
        const { stdout } = await runner.check({
          label: 'apt-cache madison',
          program: 'apt-cache',
          args: ['madison', '--', 'base-files', ...names],
          timeout_ms: SECONDS * 1000,
        });
        const known = new Set(stdout.split('\n').map((line) => line.split('|')[0]?.trim()));
        return known.has('base-files') ? names.filter((name) => !known.has(name)) : [];
      } catch (error) {
        if (!(error instanceof AgentError)) throw error;
        return [];
      }
    },
  };
}
