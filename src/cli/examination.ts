/**
 * What `umbel check` and `umbel doctor` have in common: their options, the workers they look at, as what user, and how they say what they found.
 *
 * Nodes of the configuration are looked at as `umbel multi` would start them; -n names one of them, or another worker.
 */
import { statSync } from 'node:fs';
import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/config-error.ts';
import { text } from '../config/kind.ts';
import { loadConfig } from '../config/load-config.ts';
import { settingsWithFlagOn } from '../config/settings-table.ts';
import type { NodeFindings } from '../doctor/check.ts';
import { type Finding, found } from '../doctor/finding.ts';
import { findingTable } from '../doctor/finding-table.ts';
import { findingsOf } from '../doctor/refusals.ts';
import { collected, jsonOf, statusOf, textOf } from '../doctor/report.ts';
import { type Subject, subjectOf } from '../doctor/subject.ts';
import { readUnit, type Unit } from '../doctor/unit-file.ts';
import { UmbelError } from '../errors.ts';
import { defaultFiles } from '../multi/default-files.ts';
import { userEntry } from '../os/user-entry.ts';
import type { CommandContext } from './command.ts';
import { flagOption, valueOption } from './option-spec.ts';
import { jsonOption } from './repeated-options.ts';
import { becomeWorkerProcess } from './worker-process.ts';

const asJson = jsonOption('Print JSON: one object a line for each finding.');
const errorsOnly = flagOption({ names: ['--errors'], doc: 'Leave warnings out, also of the exit status.' });
const noModules = flagOption({ names: ['--no-modules'], doc: 'Load no modules: no code of tasks is run.' });
const unitOption = valueOption({
  names: ['--unit'],
  argument: 'UNIT',
  kind: text({ rule: 'a unit of systemd or the path of its file' }),
  doc: 'The systemd unit that runs the worker, by name or as a file (a path has a slash in it); its user is taken for that of the worker.',
});

export const examinationOptions = [asJson, errorsOnly, noModules, unitOption];
export const examinationSettings = settingsWithFlagOn('worker');
export const examinationStatuses =
  'Exit status: 0 when nothing was found, 1 when there are warnings only, 2 when there is an error. docs/findings.md explains every finding.';

export interface Examination {
  readonly subjects: readonly Subject[];
  readonly unit: Unit | null;
  /** What keeps workers from being looked at. */
  readonly findings: readonly Finding[];
  /** This process is what the worker would be, and nobody has said no. */
  readonly loadModules: boolean;
}

/** Throws USAGE. */
export function examination(ctx: CommandContext): Examination {
  const givenUnit = ctx.option(unitOption);
  const unit = givenUnit === undefined ? null : readUnit(givenUnit, ctx.cwd);
  const findings: Finding[] = [];
  const subjects: Subject[] = [];
  const flags = { ...unitUser(unit), ...ctx.flags };
  const load = (more: CommandContext['flags']): Config =>
    loadConfig({ flags: { ...flags, ...more }, env: ctx.env, cwd: ctx.cwd, file: ctx.configFile });
  const configs: { node: string | null; config: Config }[] = [];
  try {
    const alone = load({});
    for (const node of nodesToLookAt(Object.keys(alone.settings.worker_nodes), flags.worker_hostname))
      configs.push({ node, config: loadNode(load, node) });
    if (configs.length === 0) configs.push({ node: null, config: alone });
    for (const { node, config } of configs) subjects.push(subjectOf(config, node, ctx.env));
  } catch (error) {
    findings.push(...configurationFindings(error));
  }
  mustRunAlike(configs);
  const [first] = subjects;
  const isWorker = first !== undefined && findings.length === 0 && become(ctx, first.config, findings);
  return { subjects, unit, findings, loadModules: isWorker && ctx.option(noModules) !== true };
}

/** Prints, and gives the exit status. */
export function tell(ctx: CommandContext, own: readonly Finding[], nodes: readonly NodeFindings[]): number {
  const merged =
    nodes.length === 0 ? [{ node: null, findings: own }] : nodes.map(({ node, findings }) => ({ node, findings: [...own, ...findings] }));
  const findings = collected(merged).filter(({ code }) => ctx.option(errorsOnly) !== true || findingTable[code].severity === 'error');
  for (const finding of findings) ctx.stdout(ctx.option(asJson) === true ? jsonOf(finding) : textOf(finding));
  if (findings.length === 0) ctx.stderr('Nothing found.');
  return statusOf(findings);
}

/** `named`: what -n says. A name that is not declared is that of a worker, as `umbel worker` reads it. */
function nodesToLookAt(declared: readonly string[], named: unknown): readonly string[] {
  return named === undefined ? declared : declared.filter((node) => node === named);
}

/** With the files that multi gives to nodes for which none are configured. */
function loadNode(load: (more: CommandContext['flags']) => Config, node: string): Config {
  const name = { worker_hostname: node.includes('@') ? node : `${node}@` };
  const { worker_pidfile: pidfile, worker_logfile: logfile } = load(name).settings;
  return load({
    ...name,
    ...(pidfile === null ? { worker_pidfile: defaultFiles.pidfile } : null),
    ...(logfile === null ? { worker_logfile: defaultFiles.logfile } : null),
  });
}

/** Flags are stronger. */
function unitUser(unit: Unit | null): CommandContext['flags'] {
  const user = unit?.get('User')?.text;
  const group = unit?.get('Group')?.text;
  if (process.geteuid?.() !== 0 || user === undefined || userEntry(user) === null) return {};
  return { worker_uid: user, ...(group === undefined ? null : { worker_gid: group }) };
}

/** This process can become one user only, and once. */
function mustRunAlike(configs: readonly { readonly node: string | null; readonly config: Config }[]): void {
  const of = ({ settings }: Config): string =>
    JSON.stringify([settings.worker_uid, settings.worker_gid, settings.worker_workdir, settings.worker_umask]);
  const [first] = configs;
  const other = configs.find(({ config }) => first !== undefined && of(config) !== of(first.config));
  if (first === undefined || other === undefined) return;
  const what = 'nodes with different uid, gid, umask or workdir must be looked at one by one, with -n NAME';
  throw new UmbelError('USAGE', `${what}, got ${first.node} and ${other.node}`);
}

function configurationFindings(error: unknown): readonly Finding[] {
  if (error instanceof ConfigError) return findingsOf(error, 'CONFIG_INVALID');
  if (error instanceof UmbelError && error.code === 'CONFIG_UNREADABLE') return findingsOf(error, 'CONFIG_UNREADABLE');
  return findingsOf(error, 'SETTINGS_REFUSED');
}

/** false: a finding says why not. */
function become(ctx: CommandContext, config: Config, findings: Finding[]): boolean {
  const { worker_workdir: workdir, worker_uid: user, worker_gid: group } = config.settings;
  if (workdir !== null && statSync(workdir, { throwIfNoEntry: false })?.isDirectory() !== true) {
    findings.push(found('FOLDER_MISSING', `worker.workdir must be a folder, got ${workdir}`, config.origin('worker_workdir').text));
    return false;
  }
  try {
    becomeWorkerProcess(ctx, config);
    return true;
  } catch (error) {
    if (!(error instanceof UmbelError)) throw error;
    findings.push(found('USER_REFUSED', error.message, config.origin(user === null && group !== null ? 'worker_gid' : 'worker_uid').text));
    return false;
  }
}
