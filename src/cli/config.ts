/** `umbel config check | show | example | path`: the configuration, as the worker would see it with the same flags. */
import { ConfigError } from '../config/config-error.ts';
import { exampleConfig } from '../config/example-config.ts';
import { configFileCandidates, displayPath, findConfigFile } from '../config/find-config-file.ts';
import { workingFolder } from '../config/load-config.ts';
import { settingsWithFlagOn } from '../config/settings-table.ts';
import { showConfig } from '../config/show-config.ts';
import { exitStatus, UmbelError } from '../errors.ts';
import { checkTransportOptions } from '../node/transport-options.ts';
import { urlRefusals } from '../node/url-refusals.ts';
import { didYouMean } from '../std/nearest-name.ts';
import type { Command, CommandContext } from './command.ts';
import { flagOption } from './option-spec.ts';

const originOption = flagOption({ names: ['--origin'], doc: 'With show: where each value comes from (file and line, variable or flag).' });

const actions: Readonly<Record<string, (ctx: CommandContext) => number>> = { check, show, example, path };

export const command: Command = {
  arguments: ['<action>'],
  description: [
    'check    say every problem of the configuration; exit status 78 when there is one',
    'show     print the configuration in effect as TOML, passwords masked',
    'example  print a configuration file with every setting, its meaning and its default',
    'path     print the path of the configuration file in use; exit status 1 when there is none',
  ]
    .map((line) => `  ${line}`)
    .join('\n'),
  examples: ['umbel config example > umbel.toml', 'umbel config show --origin', 'umbel --config /etc/umbel/umbel.toml config check'],
  options: [originOption],
  settings: settingsWithFlagOn('worker'),
  async run(ctx) {
    const [name = ''] = ctx.args;
    if (!Object.hasOwn(actions, name)) {
      const hint = didYouMean(name, Object.keys(actions));
      throw new UmbelError('USAGE', `the action must be check, show, example or path, got ${JSON.stringify(name)}${hint}`);
    }
    if (ctx.option(originOption) && name !== 'show') throw new UmbelError('USAGE', `--origin goes with the action show, got ${name}`);
    return actions[name]?.(ctx) ?? exitStatus.ok;
  },
};

function check(ctx: CommandContext): number {
  const config = checkTransportOptions(ctx.loadConfig());
  const refused = urlRefusals(config, ctx.env);
  if (refused.length > 0) throw new ConfigError(refused.map(({ setting, message }) => ({ message, place: config.origin(setting).text })));
  const { file } = config;
  ctx.stderr(
    file === null ? 'No configuration file; flags, environment and defaults are valid.' : `${displayPath(file, ctx.cwd)} is valid.`,
  );
  return exitStatus.ok;
}

function show(ctx: CommandContext): number {
  ctx.stdout(showConfig(ctx.loadConfig(), { origin: ctx.option(originOption) === true }));
  return exitStatus.ok;
}

function example(ctx: CommandContext): number {
  ctx.stdout(exampleConfig());
  return exitStatus.ok;
}

function path({ env, cwd, flags, configFile, stdout, stderr }: CommandContext): number {
  const params = { env, folder: workingFolder(flags, env, cwd), named: configFile };
  const file = findConfigFile(params);
  if (file !== null) {
    stdout(file.path);
    return exitStatus.ok;
  }
  stderr(
    `No configuration file. Looked for:\n${configFileCandidates(params)
      .map((one) => `  ${one.path}`)
      .join('\n')}`,
  );
  return exitStatus.failure;
}
