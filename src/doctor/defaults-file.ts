/** /etc/default/umbeld, or another file of variables: read by systemd and by the init script, which has a shell run it as root. */
import { readFileSync, type Stats, statSync } from 'node:fs';
import { environmentName } from '../config/setting.ts';
import { settingNames } from '../config/settings-table.ts';
import { messageOf, UmbelError } from '../errors.ts';
import { didYouMean } from '../std/nearest-name.ts';
import { type Finding, found } from './finding.ts';

/** After UMBEL_, UMBELD_ or CELERYD_. */
const names = 'NODES OPTS APP BIN PID_FILE LOG_FILE LOG_LEVEL CHDIR USER GROUP ULIMIT CREATE_DIRS CREATE_RUNDIR CREATE_LOGDIR'.split(' ');
const others = ['UMBEL_CONFIG', 'UMBEL_DEBUG', 'UMBEL_FAKEFORK'];

export function* defaultsFile(path: string): Iterable<Finding> {
  let text: string;
  let stat: Stats;
  try {
    stat = statSync(path);
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UmbelError('USAGE', `--defaults must name a file that can be read, got ${path}: ${messageOf(error)}`, { cause: error });
  }
  const mode = (stat.mode & 0o777).toString(8).padStart(4, '0');
  if (stat.uid !== 0 || (stat.mode & 0o022) !== 0)
    yield found(
      'DEFAULTS_UNSAFE',
      `a file that root runs must belong to root and be writable by root alone, got uid ${stat.uid}, mode ${mode}`,
      path,
    );
  const known = [...names.flatMap((name) => [`UMBEL_${name}`, `UMBELD_${name}`]), ...settingNames.map(environmentName), ...others];
  for (const { line, number } of wholeLines(text)) {
    if (/^\s*(#|$)/.test(line)) continue;
    const place = `${path}:${number}`;
    const [, name] = /^([A-Za-z_][A-Za-z0-9_]*)=("[^"$`]*"|'[^']*'|[^\s"'`$()|&;<>]*)\s*$/.exec(line) ?? [];
    if (name === undefined) {
      yield found('DEFAULTS_SYNTAX', `each line must be NAME="value", as systemd reads it, got ${JSON.stringify(line)}`, place);
      continue;
    }
    const [prefix] = /^UMBELD?_/.exec(name) ?? [];
    if (prefix === undefined || known.includes(name)) continue;
    yield found(
      'DEFAULTS_UNKNOWN',
      `a variable that begins with ${prefix} must be one that is known, got ${name}${didYouMean(name, known)}`,
      place,
    );
  }
}

/** Systemd and shells alike go on in the next line after a backslash, but not in a comment. */
function* wholeLines(text: string): Iterable<{ readonly line: string; readonly number: number }> {
  let line = '';
  let number = 0;
  for (const [index, raw] of text.split('\n').entries()) {
    if (line === '') number = index + 1;
    line += raw;
    if (line.endsWith('\\') && !/^\s*#/.test(line)) {
      line = line.slice(0, -1);
      continue;
    }
    yield { line, number };
    line = '';
  }
  if (line !== '') yield { line, number };
}
