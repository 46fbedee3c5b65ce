/**
 * Writes docs/settings.md and config.example.toml from the settings table in src/config/; with --check only says whether they are
 * current (exit 1 if not).
 */
import { exampleConfig } from '../src/config/example-config.ts';
import { dottedName, environmentName, type Flag, type Section, sections, tomlPlace } from '../src/config/setting.ts';
import { type SettingName, settingNames, settingsTable } from '../src/config/settings-table.ts';
import { writeGenerated } from './generated-file.ts';

const sectionMeaning: Readonly<Record<Section | '', string>> = {
  '': 'These keys stand at the top of the file, before the first section.',
  broker: 'Where messages come from and go to.',
  sqlite: 'The embedded broker and its results.',
  result: 'States and results of tasks.',
  redis:
    'The connection to a Redis result backend. Where the results are in the database of the broker, one connection serves both, and what is said here has no effect.',
  task: 'Tasks and their messages. An option given to `task()` or to a call is stronger.',
  worker: 'The worker, its children, its log and its files.',
  event: 'Events, for monitors.',
  control: 'Remote control, alike for workers and the commands that control them.',
};

function code(text: string): string {
  return `\`${text}\``;
}

function flagForms({ names, argument, on, repeatable }: Flag): string {
  const forms = names.map((name) => code(argument === null ? name : `${name} ${argument}`)).join(', ');
  const where = on === 'global' ? 'every command' : on.map((command) => code(command)).join(', ');
  return `${forms} (${where}${repeatable ? '; may be repeated' : ''})`;
}

function describeSetting(name: SettingName): string {
  const {
    kind,
    doc,
    flag,
    default: value,
    defaultText,
    celeryEnvironment = [],
    environmentSwitch,
    secret,
    celeryDiffers,
  } = settingsTable[name];
  const variables = [environmentName(name), ...celeryEnvironment, ...(environmentSwitch === undefined ? [] : [environmentSwitch.variable])];
  const lines = [
    `- Must be ${kind.rule}. Default: ${defaultText ?? code(kind.toToml(value))}.`,
    `- Name: ${code(name)}. Environment: ${variables.map(code).join(', ')}.`,
  ];
  if (flag !== undefined) lines.push(`- Flag: ${flagForms(flag)}.`);
  if (secret !== undefined)
    lines.push(secret === 'url' ? '- The password in it is masked wherever it is shown.' : '- It is masked wherever it is shown.');
  if (celeryDiffers !== undefined) lines.push(`- Different from Celery: ${celeryDiffers}`);
  return `### ${dottedName(name)}\n\n${doc}\n\n${lines.join('\n')}`;
}

function describeSection(section: Section | null): string {
  const names = settingNames.filter((name) => tomlPlace(name).section === section);
  return [`## ${section === null ? 'Top level' : `[${section}]`}`, sectionMeaning[section ?? ''], ...names.map(describeSetting)].join(
    '\n\n',
  );
}

await writeGenerated(
  'docs/settings.md',
  `# Settings

Generated from the settings table in \`src/config/\` by \`make docs\`; do not edit.

No configuration is needed: without one, tasks and results live in a SQLite file in the state folder of the user.

A value comes from the strongest place that has one:

1. a flag;
2. a variable \`UMBEL_*\`: the name of the setting in capitals, \`UMBEL_WORKER_CONCURRENCY\`;
3. a variable that Celery knows, such as \`CELERY_BROKER_URL\`;
4. the configuration file;
5. the default.

\`umbel config show --origin\` says for each value which it was. An empty variable counts as not set.

The configuration file is TOML. It is the first of these that exists, and the only one read: the one named with \`--config\`; the one
named in \`UMBEL_CONFIG\`; \`./umbel.toml\`; \`$XDG_CONFIG_HOME/umbel/umbel.toml\` (\`~/.config\`); \`/etc/umbel/umbel.toml\`. \`umbel config path\`
prints it, \`umbel config example\` prints one with every setting, \`umbel config check\` says everything that is wrong with it, and
ends with status 78 if anything is. An unknown section or key is an error.

The name of a setting is Celery's lowercase name where Celery has it: \`worker_concurrency\` is \`concurrency\` in the section \`[worker]\`. In a flag or a variable, a list
is separated by commas, and a boolean is \`true\`, \`yes\`, \`on\`, \`1\`, \`false\`, \`no\`, \`off\` or \`0\`.

Relative paths in the file are relative to the folder of the file; those in flags and variables to the current folder, or to the
folder given with \`--workdir\` or \`UMBEL_WORKER_WORKDIR\`.

${[null, ...sections].map(describeSection).join('\n\n')}
`,
);

await writeGenerated('config.example.toml', exampleConfig());
