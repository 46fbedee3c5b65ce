/**
 * The settings the environment holds: UMBEL_* and Celery's own variables.
 *
 * An empty variable counts as not set. Kubernetes and others put variables of their own beside ours, so an unknown UMBEL_
 * name is a problem only when it is a near miss of a setting.
 */
import { editDistance } from '../std/nearest-name.ts';
import type { ConfigProblem } from './config-error.ts';
import { environmentName } from './setting.ts';
import { type SettingName, settingNames, settingsTable } from './settings-table.ts';

export interface EnvironmentValue {
  readonly name: SettingName;
  /** `text` is to be read by the kind; `value` is one already. */
  readonly input: { readonly text: string } | { readonly value: unknown };
  readonly variable: string;
}

/** Variables that are ours and no settings. */
const otherVariables = ['UMBEL_CONFIG', 'UMBEL_DEBUG', 'UMBEL_FAKEFORK', 'UMBEL_DETACHED'];

export function readEnvironment(env: NodeJS.ProcessEnv, overridden: (name: SettingName) => boolean) {
  const values: EnvironmentValue[] = [];
  const problems: ConfigProblem[] = [];
  for (const name of settingNames) {
    const own = environmentName(name);
    const text = env[own];
    if (text) {
      values.push({ name, input: { text }, variable: own });
      continue;
    }
    if (overridden(name)) continue;
    const { celeryEnvironment = [], environmentSwitch } = settingsTable[name];
    const given = celeryEnvironment.filter((variable) => env[variable]);
    const [first] = given;
    if (first !== undefined) {
      values.push({ name, input: { text: env[first] ?? '' }, variable: first });
      const other = given.find((variable) => env[variable] !== env[first]);
      if (other !== undefined) problems.push({ message: `${first} and ${other} must be equal: one value serves both`, place: other });
    } else if (environmentSwitch !== undefined && env[environmentSwitch.variable]) {
      values.push({ name, input: { value: environmentSwitch.means }, variable: environmentSwitch.variable });
    }
  }
  return { values, problems: [...problems, ...nearMisses(env)] } as const;
}

function nearMisses(env: NodeJS.ProcessEnv): readonly ConfigProblem[] {
  const known = [...settingNames.map(environmentName), ...otherVariables];
  const problems: ConfigProblem[] = [];
  for (const variable of Object.keys(env)) {
    if (!variable.startsWith('UMBEL_') || known.includes(variable)) continue;
    const near = known.find((one) => editDistance(one, variable) <= 2);
    if (near !== undefined) problems.push({ message: `${variable} is not a setting; did you mean ${near}?`, place: variable });
  }
  return problems;
}
