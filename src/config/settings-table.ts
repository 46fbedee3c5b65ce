/**
 * Every setting there is, in the order the file, the help and the documents show them, and the types that follow.
 *
 * A setting stands here only when it does something.
 */
import { brokerSettings, sqliteSettings } from './broker-settings.ts';
import { controlSettings, eventSettings, remoteControlSettings } from './control-settings.ts';
import { daemonSettings } from './daemon-settings.ts';
import { nodeSettings } from './node-settings.ts';
import { redisLeaseSetting } from './redis-broker-settings.ts';
import { redisSettings } from './redis-settings.ts';
import { resultSettings } from './result-settings.ts';
import { queueSettings } from './routing-settings.ts';
import type { AnySetting, Setting } from './setting.ts';
import { annotationSettings, generalSettings, taskSettings } from './task-settings.ts';
import { workerSettings } from './worker-settings.ts';

const declared = {
  ...generalSettings,
  ...queueSettings,
  ...annotationSettings,
  ...brokerSettings,
  ...sqliteSettings,
  ...resultSettings,
  ...redisLeaseSetting,
  ...redisSettings,
  ...taskSettings,
  ...workerSettings,
  ...daemonSettings,
  ...nodeSettings,
  ...remoteControlSettings,
  ...controlSettings,
  ...eventSettings,
} as const;

export type SettingName = keyof typeof declared;

type ValueOf<S> = S extends Setting<infer T> ? T : never;

/** Every setting with its value. */
export type Settings = { readonly [Name in SettingName]: ValueOf<(typeof declared)[Name]> };

export const settingsTable: Readonly<Record<SettingName, AnySetting>> = declared;

export const settingNames = Object.keys(declared) as readonly SettingName[];

export function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(declared, name);
}

/** Settings with a flag on every command (`global`), or on the command named. */
export function settingsWithFlagOn(command: string): readonly SettingName[] {
  return settingNames.filter((name) => {
    const on = settingsTable[name].flag?.on;
    return on !== undefined && (on === 'global' ? command === 'global' : on.includes(command));
  });
}
