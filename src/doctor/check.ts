/** The checks that need no server, in the order in which people want to know: `umbel check`. */
import { certificates } from './certificates.ts';
import { defaultsFile } from './defaults-file.ts';
import { files, stateFolder } from './files.ts';
import type { Finding } from './finding.ts';
import { configurationFile, root } from './identity.ts';
import { prefetch, timeLimits } from './limits.ts';
import { ModuleTrials, unusedAnnotations } from './modules.ts';
import { deadLetterCircles, routes } from './queues.ts';
import { refusals } from './refusals.ts';
import { sharedFiles } from './shared-files.ts';
import { heartbeat, storage } from './storage.ts';
import type { Check, Subject } from './subject.ts';
import { unitChecks } from './unit.ts';
import type { Unit } from './unit-file.ts';

export interface NodeFindings {
  readonly node: string | null;
  readonly findings: readonly Finding[];
}

export interface CheckParams {
  readonly subjects: readonly Subject[];
  /** systemd runs the worker. */
  readonly unit: Unit | null;
  /** Path of a file of variables. */
  readonly defaults: string | null;
  /** Task code may be loaded: this process is the user it would run as. */
  readonly loadModules: boolean;
}

const checks: readonly Check[] = [
  refusals,
  root,
  configurationFile,
  files,
  stateFolder,
  certificates,
  storage,
  heartbeat,
  deadLetterCircles,
  prefetch,
];

export async function runCheck({ subjects, unit, defaults, loadModules }: CheckParams): Promise<readonly NodeFindings[]> {
  const all: NodeFindings[] = [];
  const trials = new ModuleTrials();
  const tasks = new Set<string>();
  let allLoaded = loadModules;
  for (const subject of subjects) {
    const findings: Finding[] = [];
    for (const check of unit === null ? checks : checks.filter((one) => one !== root)) findings.push(...(await check(subject)));
    if (unit !== null) findings.push(...unitChecks(subject, unit));
    const loaded = loadModules ? await trials.of(subject) : { findings: [], tasks: null };
    findings.push(...loaded.findings, ...timeLimits(subject, loaded.tasks));
    allLoaded &&= loaded.tasks !== null;
    for (const name of loaded.tasks?.keys() ?? []) tasks.add(name);
    all.push({ node: subject.node, findings });
  }
  const [first] = subjects;
  const together = [...sharedFiles(subjects), ...routes(subjects)];
  if (first !== undefined && allLoaded) together.push(...unusedAnnotations(first, [...tasks]));
  if (defaults !== null) together.push(...defaultsFile(defaults));
  if (all.length === 0) return [{ node: null, findings: together }];
  // Found with every node, they are of none in particular.
  return all.map(({ node, findings }) => ({ node, findings: [...findings, ...together] }));
}
