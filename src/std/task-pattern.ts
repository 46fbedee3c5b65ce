/** Names of tasks as patterns: a glob where there is a `*`, a regular expression between slashes. Pure. */

/** null: a name, and nothing more. Throws SyntaxError for a regular expression that is none. */
export function taskPattern(pattern: string): RegExp | null {
  if (pattern.length > 2 && pattern.startsWith('/') && pattern.endsWith('/')) return fromBeginning(new RegExp(pattern.slice(1, -1)));
  return pattern.includes('*') ? globExpression(pattern) : null;
}

/** As Python's re.match: from the beginning, not to the end. */
function fromBeginning(expression: RegExp): RegExp {
  return new RegExp(`^(?:${expression.source})`, expression.flags.replace(/[gy]/g, ''));
}

/** Python's fnmatch: `*`, `?`, `[abc]`, `[!abc]`; the whole name must match. */
function globExpression(glob: string): RegExp {
  let source = '';
  for (let at = 0; at < glob.length; at++) {
    const char = glob[at] ?? '';
    if (char === '*') source += '[^]*';
    else if (char === '?') source += '[^]';
    else if (char === '[') {
      const isNegated = glob[at + 1] === '!';
      const from = at + (isNegated ? 2 : 1);
      // A bracket that stands first belongs to the set.
      const end = glob.indexOf(']', from + 1);
      if (end === -1) {
        source += '\\[';
        continue;
      }
      source += setExpression(glob.slice(from, end), isNegated);
      at = end;
    } else source += char.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
  }
  return new RegExp(`^${source}$`);
}

/** A range whose ends are the wrong way round stands for nothing. */
function setExpression(set: string, isNegated: boolean): string {
  const members = set.replace(/(.)-(.)/gs, (range, first: string, last: string) => (first <= last ? range : ''));
  if (members === '') return isNegated ? '[^]' : '(?!)';
  return `[${isNegated ? '^' : ''}${members.replace(/[\\\]^[]/g, '\\$&')}]`;
}
