/** Options that every command has, before and after its name. */
import { path } from '../config/kind.ts';
import { settingsWithFlagOn } from '../config/settings-table.ts';
import { flagOption, type OptionSpec, settingOption, valueOption } from './option-spec.ts';

const group = 'Global options';

export const configOption = valueOption({
  names: ['--config'],
  argument: 'PATH',
  kind: path(),
  doc: 'Configuration file.',
  defaultText: 'UMBEL_CONFIG, ./umbel.toml, $XDG_CONFIG_HOME/umbel/umbel.toml or /etc/umbel/umbel.toml',
  group,
});
export const quietOption = flagOption({ names: ['-q', '--quiet'], doc: 'Say nothing but results and errors.', group });
export const versionOption = flagOption({ names: ['--version'], doc: 'Print the version.', group });
export const helpOption = flagOption({ names: ['-h', '--help'], doc: 'Explain the command.', group });

export const globalOptions: readonly OptionSpec[] = [
  ...settingsWithFlagOn('global').map(settingOption),
  configOption,
  quietOption,
  versionOption,
  helpOption,
];
