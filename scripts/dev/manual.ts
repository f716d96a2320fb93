// The manual pages and completions, out of man/*.md, the help texts, the configuration's keys and the operations.
import { readdirSync, readFileSync } from 'node:fs';
import * as z from 'zod';
import { CLIENT_USAGE } from '../../src/client/arguments.ts';
import { configSchema } from '../../src/config/schema.ts';
import type { Operation } from '../../src/core/operation.ts';
import { AGENT_USAGE } from '../../src/docs/agent-usage.ts';
import { bashCompletion } from '../../src/docs/completion.ts';
import { manualPage } from '../../src/docs/roff.ts';
import { usageOfComment, usageSections } from '../../src/docs/usage.ts';
import { operations } from '../../src/operations/index.ts';
import { PROGRAMS } from '../../src/programs/run.ts';

const root = new URL('../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');

const FIREWALL_DEFAULTS = read('firewall/defaults.conf');
const FIREWALL_KEYS = [...FIREWALL_DEFAULTS.matchAll(/^([a-z_0-9]+)=/gm)].map(([, key = '']) => key);

/** DTC-Xen's programs that are shell programs here, too. */
const SHELL_PROGRAMS = readdirSync(new URL('scripts/', root)).filter((name) => /^dtc(?:-xen)?_/.test(name));

/** The help text of every program that people call. */
export const USAGES: Readonly<Record<string, string>> = {
  'dtc-xen-agent': AGENT_USAGE,
  'dtc-xen-client': CLIENT_USAGE,
  'dtc-xen-firewall': usageOfComment(read('firewall/dtc-xen-firewall')),
  ...Object.fromEntries(SHELL_PROGRAMS.map((name) => [name, usageOfComment(read(`scripts/${name}`))])),
  ...Object.fromEntries(Object.entries(PROGRAMS).map(([name, { usage }]) => [name, usage])),
};

const USAGE_NAMES: Readonly<Record<string, readonly string[]>> = {
  'dtc-xen-agent': ['dtc-xen-agent', 'dtc-xen'],
};

function configKeys(): string {
  const defaults = configSchema.parse({}) as Record<string, string | number>;
  return Object.entries(configSchema.shape)
    .map(([key, schema]) => {
      const told = z.globalRegistry.get(schema)?.description ?? '';
      return `\`${key}\`\n: ${told} Default: ${defaults[key] === '' ? 'empty' : `\`${defaults[key]}\``}.\n`;
    })
    .join('\n');
}

/** Each paragraph of comment in defaults.conf is of the keys below it. */
function firewallKeys(): string {
  return FIREWALL_DEFAULTS.trim()
    .split(/\n{2,}/)
    .slice(1)
    .map((block) => {
      const lines = block.split('\n');
      const told = lines.filter((line) => line.startsWith('#')).map((line) => line.replace(/^# ?/, ''));
      const keys = lines.filter((line) => !line.startsWith('#'));
      return `${keys.map((key) => `\`${key}\``).join(', ')}\n: ${told.join(' ')}\n`;
    })
    .join('\n');
}

function operationList(): string {
  const line = ({ name, summary, input }: Operation) =>
    `${[`\`${name}\``, ...Object.keys(input.shape)].join(' ')}\n: ${summary}\n`;
  return [...operations]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(line)
    .join('\n');
}

/** A page of docs/ without its heading. */
const document = (path: string) => read(path).replace(/^# .*\n/, '');

function filled(text: string): string {
  return text.replaceAll(/^<!-- (\S+)(?: (\S+))? -->$/gm, (mark, what: string, which = '') => {
    if (what === 'usage' && USAGES[which]) return usageSections(USAGES[which]);
    if (what === 'configuration-keys') return configKeys();
    if (what === 'firewall-keys') return firewallKeys();
    if (what === 'operations') return operationList();
    if (what === 'document') return document(which);
    throw new Error(`there is nothing to put in for ${mark}`);
  });
}

/** The generated files: path -> content. */
export function manual(): Map<string, string> {
  const pages = readdirSync(new URL('man/', root)).flatMap((file): [string, string][] => {
    const [, name, section] = /^(.+)\.([1-8])\.md$/.exec(file) ?? [];
    if (name === undefined || section === undefined) return [];
    const text = read(`man/${file}`);
    const [, same] = /^<!-- same-as (\S+) -->$/m.exec(text) ?? [];
    const page =
      same === undefined ? manualPage({ name, section }, filled(text)) : `.so man${same.slice(-1)}/${same}\n`;
    return [[`man/${name}.${section}`, page]];
  });
  const firewall = 'dtc-xen-firewall';
  const completions = Object.entries(USAGES).flatMap(([name, usage]): [string, string][] => {
    const names = USAGE_NAMES[name] ?? [name];
    const keys = name === firewall ? FIREWALL_KEYS : Object.keys(configSchema.shape);
    const OPERATION = operations.map((operation) => operation.name);
    const placeholders =
      name === 'dtc-xen-agent' || name === firewall || name === 'dtc-xen-client'
        ? { KEY: keys, OPERATION }
        : {};
    const folder = name === firewall ? 'firewall/completions' : 'completions';
    return names.map((file) => [`${folder}/${file}`, bashCompletion(names, usage, placeholders)]);
  });
  return new Map([...pages, ...completions]);
}
