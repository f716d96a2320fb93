// The documents of this project, as far as tests look into them: which blocks they have, and the commands among these.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The project's folder. */
export const ROOT = join(import.meta.dirname, '../..');

/** A document, by its path in the project. */
export interface Document {
  readonly path: string;
  readonly text: string;
  readonly blocks: readonly { readonly language: string; readonly code: string }[];
}

/** Reads a document and finds its fenced blocks. */
export function readDocument(path: string): Document {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const blocks = [...text.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map(([, language = '', code = '']) => ({
    language,
    code,
  }));
  return { path, text, blocks };
}

const folder = (name: string) =>
  readdirSync(join(ROOT, name))
    .filter((file) => file.endsWith('.md'))
    .sort()
    .map((file) => readDocument(`${name}/${file}`));

/** Manual pages' sources, and then docs/, each by name: what one makes, a later one may use. */
export const documents = [...folder('man'), ...folder('docs')];

/** What runs the commands of a document that the house of the README does not. */
export const RUN_ELSEWHERE: Readonly<Record<string, string>> = { 'docs/install.md': 'tests/packages/inside' };

/** Blocks that are run. */
const RUN = ['sh', 'php'];
/** All that a block may be: what is not run is a sample, or what a program says. */
export const LANGUAGES = [...RUN, 'text', 'conf'];

/** One program out of a document's blocks, in order, as a reader would type them; `files` lie beside it. */
export function scriptOf({ blocks }: Document): { script: string; files: Map<string, string> } | undefined {
  const files = new Map<string, string>();
  const lines = blocks
    .filter(({ language }) => RUN.includes(language))
    .map(({ language, code }, i) => {
      if (language === 'sh') return code;
      files.set(`${i}.php`, code);
      return `php -d error_reporting=0 "\${0%/*}/${i}.php"\n`;
    });
  return lines.length === 0 ? undefined : { script: lines.join(''), files };
}

/** Code in a line of text, such as the name of a program with its arguments. */
export const inlineCode = ({ text }: Document) =>
  [...text.replaceAll(/^```[\s\S]*?^```$/gm, '').matchAll(/`([^`]+)`/g)].map(([, code = '']) =>
    code.replaceAll(/\s*\n\s*/g, ' '),
  );
