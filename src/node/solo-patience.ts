/**
 * With the solo pool a task that blocks keeps the worker from renewing what it holds and from giving signs of life. What would be taken
 * for its death elsewhere must not give its messages to others: they would run twice.
 *
 * Owns the defaults that differ for it. What somebody has set stays as it is.
 */
import type { Config } from '../config/config.ts';
import type { SettingName, Settings } from '../config/settings-table.ts';

/** As long as the visibility timeout of Redis is by default, which ends such a hold in any case. */
const holdSeconds = 3600;

export function soloPatience(config: Config): Settings {
  const { settings } = config;
  if (settings.worker_pool !== 'solo') return settings;
  const patient: Partial<Settings> = { sqlite_lease_seconds: holdSeconds, redis_lease_seconds: holdSeconds, broker_heartbeat: null };
  const unset = Object.entries(patient).filter(([name]) => config.origin(name as SettingName).kind === 'default');
  return { ...settings, ...Object.fromEntries(unset) };
}
