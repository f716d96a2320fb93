import { access, constants, readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { closest, distance } from 'fastest-levenshtein';
import type { Config } from '../config/schema.ts';
import { quoteName } from '../core/bind.ts';
import { AgentError } from '../core/errors.ts';
import type { Installable, OperatingSystem, TemplatePrograms, Templates } from '../core/ports.ts';
import { SELF_INSTALLED, selfInstalledGuest } from '../core/vps.ts';
import { unlessMissing } from './missing.ts';

/** A template's name is a word of a panel's menu and an argument of programs. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._+-]*$/;
/** The system that the agent installs by itself, and the template whose variants are an admin's image files. */
const [BUILT_IN, IMAGE] = ['debian', 'image'];

async function isA(kind: 'isFile' | 'isDirectory', path: string): Promise<boolean> {
  return (await unlessMissing(stat(path), undefined))?.[kind]() ?? false;
}

async function isProgram(path: string): Promise<boolean> {
  if (!(await isA('isFile', path))) return false;
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function folders(parent: string): Promise<string[]> {
  const names = (await unlessMissing(readdir(parent), [])).filter((name) => NAME.test(name)).sort();
  const kept = await Promise.all(names.map((name) => isA('isDirectory', join(parent, name))));
  return names.filter((_, at) => kept[at]);
}

async function findPrograms(folder: string): Promise<TemplatePrograms | undefined> {
  const find = async (name: keyof TemplatePrograms) => {
    const path = join(folder, name);
    return (await isProgram(path)) ? { [name]: path } : {};
  };
  const install_os = join(folder, 'install_os');
  if (!(await isProgram(install_os))) return undefined;
  const names = ['base_inputs', 'custom_os', 'setup_network', 'last_stage_custom'] as const;
  const rest = await Promise.all(names.map(find));
  return Object.assign({ install_os }, ...rest);
}

/** What DTC's panel always offers, and what it is here. */
const OLD_NAMES: ReadonlyMap<string, { readonly now: string; readonly told_as: string }> = new Map([
  ['centos', { now: 'rocky', told_as: 'rocky (which goes on where CentOS ended)' }],
  ['debian-dtc', { now: 'dtc', told_as: 'Debian with the appliance dtc' }],
]);
const PROGRAM_FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

const unknown = (why: string) => new AgentError('unknown_os', `${why}; see getInstallableOS.`);

/** Makes {@link Templates} of os_dir, app_dir and image_dir; folders that are not there hold none. */
export function createTemplates({
  config: { os_dir, app_dir, image_dir, bsd_install_kernel_path },
}: {
  config: Pick<Config, 'os_dir' | 'app_dir' | 'image_dir' | 'bsd_install_kernel_path'>;
}): Templates {
  /** The names in the folder's file `variants`, one a line, # for comments; of `image`: the files NAME.sha256. */
  async function variants(os: string): Promise<string[]> {
    const names =
      os === IMAGE
        ? (await unlessMissing(readdir(image_dir), []))
            .filter((file) => file.endsWith('.sha256'))
            .map((file) => file.slice(0, -'.sha256'.length))
        : (await unlessMissing(readFile(join(os_dir, os, 'variants'), 'utf8'), ''))
            .split('\n')
            .map((line) => line.replace(/#.*/, '').trim());
    return names.filter((name) => NAME.test(name)).sort();
  }

  /** A system by its whole name, or by a template's name and one of its variants. */
  async function findSystem(ostype: string): Promise<OperatingSystem | undefined> {
    const guest = selfInstalledGuest(ostype);
    if (guest) return { kind: 'self-installed', guest };
    if (ostype === BUILT_IN) return { kind: 'debian', release: undefined };
    const programs = ostype === IMAGE ? undefined : await findPrograms(join(os_dir, ostype));
    if (programs) return { kind: 'template', programs };
    for (let at = ostype.indexOf('-'); at > 0; at = ostype.indexOf('-', at + 1)) {
      const [os, variant] = [ostype.slice(0, at), ostype.slice(at + 1)];
      if (!(await variants(os)).includes(variant)) continue;
      if (os === BUILT_IN) return { kind: 'debian', release: variant };
      const of_variant = await findPrograms(join(os_dir, os));
      if (of_variant) return { kind: 'template', programs: of_variant };
    }
    return undefined;
  }

  /** A guest that installs itself boots a kernel of the admin's for that. */
  async function requireKernel({ system }: Installable): Promise<void> {
    if (system.kind !== 'self-installed' || system.guest !== 'netbsd') return;
    if (await isA('isFile', bsd_install_kernel_path)) return;
    throw new AgentError(
      'unknown_os',
      `netbsd cannot be installed on this node: there is no kernel ${bsd_install_kernel_path}; put it there, or see bsd_install_kernel_path in dtc-xen.conf.`,
    );
  }

  /** The programs that a template needs: a line of its file `needs` is one, or several of which one is enough, with | between. */
  async function requireNeeds({ os, system }: Installable): Promise<void> {
    if (system.kind !== 'template') return;
    const file = join(dirname(system.programs.install_os), 'needs');
    const lines = (await unlessMissing(readFile(file, 'utf8'), '')).split('\n');
    for (const line of lines.map((text) => text.replace(/#.*/, '').trim()).filter((text) => text !== '')) {
      const paths = line
        .split('|')
        .flatMap((name) => PROGRAM_FOLDERS.map((folder) => join(folder, name.trim())));
      const there = await Promise.all(paths.map(isProgram));
      if (!there.includes(true)) {
        throw unknown(
          `${os} cannot be installed on this node: it needs ${line.replaceAll('|', ' or ')}; install it`,
        );
      }
    }
  }

  async function operatingSystems(): Promise<string[]> {
    const names = [];
    for (const os of await folders(os_dir)) {
      if (os !== IMAGE) names.push(os);
      for (const variant of await variants(os)) names.push(`${os}-${variant}`);
    }
    return names;
  }

  /** The error for a name that is none, with the nearest one that is. */
  async function noSuch(name: string): Promise<AgentError> {
    if (name === '') return unknown('There is no operating system template or appliance of an empty name');
    const there = [...SELF_INSTALLED, ...(await operatingSystems()), ...(await folders(app_dir))];
    const near = there.filter((other) => distance(name, other) <= Math.max(2, name.length / 3));
    const nearest = near.length > 0 ? `; the nearest is ${closest(name, near)}` : '';
    return unknown(
      `There is no operating system template or appliance ${quoteName(name)} that can be installed${nearest}`,
    );
  }

  async function findAppliance(name: string): Promise<Installable> {
    const folder = join(app_dir, name);
    if (!(await isA('isDirectory', folder))) throw await noSuch(name);
    const depends = (await unlessMissing(readFile(join(folder, 'depends'), 'utf8'), '')).trim();
    const system = NAME.test(depends) ? await findSystem(depends) : undefined;
    if (!system || system.kind === 'self-installed') {
      const which = NAME.test(depends) ? `${depends.slice(0, 64)}, which this node cannot install` : 'none';
      throw unknown(`The appliance ${name} depends on the operating system ${which}`);
    }
    if (!(await isA('isFile', join(folder, 'setup-script')))) {
      throw unknown(`The appliance ${name} has no setup-script`);
    }
    const wants = await isA('isFile', join(folder, 'wants-root-password'));
    return { os: depends, system, appliance: folder, ...(wants && { wants_root_password: true }) };
  }

  return {
    operatingSystems,
    applications: () => folders(app_dir),
    find,
  };

  async function find(ostype: string): Promise<Installable> {
    if (!NAME.test(ostype)) throw await noSuch(ostype);
    const system = await findSystem(ostype);
    const old_name = OLD_NAMES.get(ostype);
    const is_there = system !== undefined || (await isA('isDirectory', join(app_dir, ostype)));
    if (!is_there && old_name) {
      const { now, told_as } = old_name;
      const is_known =
        (await findSystem(now)) !== undefined || (await isA('isDirectory', join(app_dir, now)));
      if (!is_known) throw unknown(`${ostype} is installed as ${told_as}, and this node has no ${now}`);
      return { ...(await find(now)), told_as };
    }
    const found = system ? { os: ostype, system, appliance: undefined } : await findAppliance(ostype);
    await requireNeeds(found);
    await requireKernel(found);
    return found;
  }
}
