/**
 * Writes docs/errors.md from the catalogue in src/errors.ts; with --check only says whether the page is current (exit 1 if not).
 * Other generators use `writeGenerated` in generated-file.ts the same way.
 */
import { catalogue, exitStatus } from '../src/errors.ts';
import { writeGenerated } from './generated-file.ts';

/** sysexits.h name of each status, in the words of an operator. */
const statusMeaning: Readonly<Record<keyof typeof exitStatus, string>> = {
  ok: 'The command did what it was asked to do.',
  failure:
    'It ran, and the answer is a failure (for example the task whose result was awaited failed); `check` and `doctor` found warnings only.',
  critical: '`umbel check` or `umbel doctor` found an error ([findings.md](findings.md)).',
  usage: 'The command line is wrong (`EX_USAGE`).',
  dataError: 'A task module or a message is wrong (`EX_DATAERR`).',
  noInput: 'An input file does not exist or cannot be read (`EX_NOINPUT`).',
  unavailable: 'A broker or result backend cannot be reached (`EX_UNAVAILABLE`).',
  software: 'A defect, or no pool child can be started (`EX_SOFTWARE`).',
  osError: 'The operating system refused something basic, such as a new process (`EX_OSERR`).',
  cantCreate: 'A pid, log or state file cannot be created, or another worker holds it (`EX_CANTCREAT`).',
  ioError: 'Reading or writing failed (`EX_IOERR`).',
  tempFail: 'It may work later, for example a result that did not arrive in time (`EX_TEMPFAIL`).',
  noPermission: 'Not permitted (`EX_NOPERM`).',
  config: 'The configuration is wrong (`EX_CONFIG`).',
};

const statusRows = Object.entries(exitStatus).map(([name, status]) => `| ${status} | ${statusMeaning[name as keyof typeof exitStatus]} |`);
const errorRows = Object.entries(catalogue)
  .toSorted(([one], [other]) => (one < other ? -1 : 1))
  .map(([code, entry]) => `| \`${code}\` | ${entry.exit} | ${entry.meaning} |`);

await writeGenerated(
  'docs/errors.md',
  `# Errors and exit statuses

Generated from \`src/errors.ts\` by \`make docs\`; do not edit.

Every error has a code that does not change and a message for people: the rule that was broken, the actual value, and where it was
found. Match on the code (\`error.code\`; a command prints it in brackets; the log line \`worker.fatal\` has it as \`code\`), never on the text.

## Exit statuses

A command ends with one of these (they are those of \`sysexits.h\`).

| status | meaning |
| --- | --- |
${statusRows.join('\n')}

A worker that is killed by a signal ends with that signal, as any process does.

## Errors

| code | exit status | meaning |
| --- | --- | --- |
${errorRows.join('\n')}
`,
);
