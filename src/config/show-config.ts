/** A loaded configuration as TOML: what is in effect, secrets masked, optionally with the origin of each value. */
import type { Config } from './config.ts';
import { masked, type Section, sections, tomlPlace } from './setting.ts';
import { type SettingName, settingNames, settingsTable } from './settings-table.ts';

/** Valid TOML. A setting without a value is a comment. */
export function showConfig(config: Config, { origin }: { readonly origin: boolean }): string {
  const blocks = ([null, ...sections] as const).map((section) => showSection(config, section, origin));
  return `${blocks.join('\n\n')}\n`;
}

function showSection(config: Config, section: Section | null, origin: boolean): string {
  const names = settingNames.filter((name) => tomlPlace(name).section === section);
  const lines = names.map((name) => {
    const line = showSetting(config, name);
    return origin ? `${line.padEnd(40)} # ${config.origin(name).text}` : line;
  });
  return (section === null ? lines : [`[${section}]`, ...lines]).join('\n');
}

function showSetting(config: Config, name: SettingName): string {
  const { kind, secret, defaultText } = settingsTable[name];
  const { key } = tomlPlace(name);
  const value: unknown = config.settings[name];
  if (value === null && !kind.hasNull) return `# ${key} is not set: ${defaultText ?? 'none'}`;
  return `${key} = ${secret === 'whole' ? '"********"' : masked(secret, kind.toToml(value))}`;
}
