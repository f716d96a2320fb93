// A help text, `Usage: ...` and then paragraphs and lists, taken apart: manual pages and completions are made of it.

/** A help text in its parts. */
export interface Usage {
  /** The ways to call the program, as they stand there. */
  readonly synopsis: readonly string[];
  readonly paragraphs: readonly string[];
  /** Commands, or options: the word and what it does; the arguments of `--option ARGUMENT` stand with the word. */
  readonly terms: readonly (readonly [term: string, meaning: string])[];
  /** The sentence after `Exit status:`. */
  readonly exit_status: string | undefined;
}

const INDENT = 'Usage: '.length;
const TERM = /^ {0,2}(\S+(?: \S+)*) {2,}(\S.*)$/;
const EXIT = /^Exit status: /;

function termsOf(block: string): [string, string][] {
  const terms: [string, string][] = [];
  for (const line of block.split('\n')) {
    const [, term, meaning] = TERM.exec(line) ?? [];
    const last = terms.at(-1);
    if (term !== undefined && meaning !== undefined) terms.push([term, meaning]);
    else if (last) last[1] += ` ${line.trim()}`;
  }
  return terms;
}

/** Takes a help text apart. */
export function parseUsage(text: string): Usage {
  const [head = '', ...blocks] = text.trimEnd().split(/\n{2,}/);
  const lists = blocks.filter((block) => TERM.test(block.split('\n')[0] ?? ''));
  const rest = blocks
    .filter((block) => !lists.includes(block))
    .map((block) => block.replaceAll(/\s*\n\s*/g, ' '));
  return {
    synopsis: head.split('\n').map((line) => line.slice(INDENT)),
    paragraphs: rest.filter((block) => !EXIT.test(block)),
    terms: lists.flatMap(termsOf),
    exit_status: rest.find((block) => EXIT.test(block))?.replace(EXIT, ''),
  };
}

/** The help text that a shell program has as the comment at its top. */
export function usageOfComment(program: string): string {
  const lines = program.split('\n').slice(1);
  const end = lines.findIndex((line) => !line.startsWith('#'));
  return `${lines
    .slice(0, end)
    .map((line) => line.replace(/^# ?/, ''))
    .join('\n')}\n`;
}

const list = (terms: Usage['terms']) => terms.map(([term, meaning]) => `\`${term}\`\n: ${meaning}\n`);

/** A help text as the sections of a manual page, in Markdown. */
export function usageSections(text: string): string {
  const { synopsis, paragraphs, terms, exit_status } = parseUsage(text);
  const options = terms.filter(([term]) => term.startsWith('-'));
  const commands = terms.filter((term) => !options.includes(term));
  const sections: readonly (readonly [string, readonly string[]])[] = [
    ['Synopsis', [`\`\`\`text\n${synopsis.join('\n')}\n\`\`\`\n`]],
    ['Description', paragraphs.map((text) => `${text}\n`)],
    ['Commands', list(commands)],
    ['Options', list(options)],
    ['Exit status', exit_status === undefined ? [] : [`${exit_status}\n`]],
  ];
  return sections
    .filter(([, content]) => content.length > 0)
    .map(([title, content]) => [`## ${title}\n`, ...content].join('\n'))
    .join('\n');
}
