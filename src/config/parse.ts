/** One `KEY=value` of the file, with its line for error messages. */
export interface Assignment {
  readonly key: string;
  readonly value: string;
  readonly line: number;
}

/** A line of the configuration file that is not a plain assignment. */
class ConfigSyntaxError extends Error {
  constructor(line: number, what: string) {
    super(`line ${line}: ${what}`);
    this.name = 'ConfigSyntaxError';
  }
}

const ASSIGNMENT = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$/;

function dropBackslashes(content: string, quote: string | undefined): string {
  if (quote === "'") return content;
  return content.replace(/\\(.)/g, (pair, char: string) =>
    quote === '"' && !'$`"\\'.includes(char) ? pair : char,
  );
}

function unquote(raw: string, line: number): string {
  let value = '';
  let rest = raw;
  while (rest !== '') {
    const piece =
      /^'([^']*)'/.exec(rest) ??
      /^"((?:[^"\\$`]|\\.)*)"/.exec(rest) ??
      /^((?:[^\s'"\\$`;&|<>()]|\\.)+)/.exec(rest);
    if (piece) {
      const [whole, content = ''] = piece;
      value += dropBackslashes(content, whole[0]);
      rest = rest.slice(whole.length);
    } else if (/^\s+(#.*)?$/.test(rest)) {
      break;
    } else {
      throw new ConfigSyntaxError(
        line,
        'only plain values are understood: no variables, commands, or several words without quotes',
      );
    }
  }
  return value;
}

/**
 * Reads a shell-style file of `KEY=value` lines: comments, single and double quotes, backslashes. A shell that sources the
 * file gets the same values; what a shell would expand (`$`, backquotes) is refused.
 *
 * @throws ConfigSyntaxError naming the line
 */
export function parseShellAssignments(text: string): Assignment[] {
  const assignments: Assignment[] = [];
  for (const [index, content] of text.split('\n').entries()) {
    const line = index + 1;
    if (/^\s*(#.*)?$/.test(content)) continue;
    const [, key, raw] = ASSIGNMENT.exec(content.replace(/\r$/, '')) ?? [];
    if (key === undefined || raw === undefined)
      throw new ConfigSyntaxError(line, 'not of the form KEY=value');
    assignments.push({ key, value: unquote(raw, line), line });
  }
  return assignments;
}
