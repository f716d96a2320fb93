import * as z from 'zod';
import { configSchema } from '../config/schema.ts';

function wrap(text: string, width = 100): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length + 1 > width) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

/** The commented sample of /etc/dtc-xen/dtc-xen.conf: every key of the schema with its description and default. */
export function sampleConfig(): string {
  const defaults = configSchema.parse({}) as Record<string, string | number>;
  const head = [
    '# Configuration of dtc-xen-agent. Shell syntax: KEY=value, quotes where there are spaces; no variables or commands.',
    '# Every key stands here with its default; take the # away to change it, then reload or restart the agent.',
  ];
  const keys = Object.entries(configSchema.shape).map(([key, schema]) => {
    const doc = z.globalRegistry.get(schema)?.description ?? '';
    const value = `${defaults[key]}`;
    const quoted = /^[A-Za-z0-9_./:,+-]*$/.test(value) ? value : `'${value}'`;
    return ['', ...wrap(doc).map((line) => `# ${line}`), `#${key}=${quoted}`].join('\n');
  });
  return `${[...head, ...keys].join('\n')}\n`;
}
