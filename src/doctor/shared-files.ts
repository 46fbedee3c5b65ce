/** Nodes of one machine that would get in each other's way. */
import type { SettingName } from '../config/settings-table.ts';
import { filesOf } from './files.ts';
import { type Finding, found } from './finding.ts';
import { placeOf, type Subject } from './subject.ts';

/** Many may log to one file, if it is one for all of them; the database is made to be shared. */
const ofOneNode: readonly SettingName[] = ['worker_pidfile', 'worker_state_db', 'worker_control_socket', 'worker_health_listen'];

export function* sharedFiles(subjects: readonly Subject[]): Iterable<Finding> {
  const owners = new Map<string, Subject>();
  for (const subject of subjects) {
    const { worker_health_listen: listen } = subject.config.settings;
    const own = [...filesOf(subject), ...(listen === null ? [] : [{ name: 'worker_health_listen' as const, path: listen }])];
    for (const { name, path } of own) {
      if (!ofOneNode.includes(name)) continue;
      const other = owners.get(`${name} ${path}`);
      if (other === undefined) owners.set(`${name} ${path}`, subject);
      else
        yield found(
          'NODES_SHARE',
          `each node must have its own, got ${path} for ${other.names.nodeName} and ${subject.names.nodeName}`,
          placeOf(subject, name),
        );
    }
  }
  const nodeNames = new Map<string, Subject>();
  for (const subject of subjects) {
    const other = nodeNames.get(subject.names.nodeName);
    if (other !== undefined)
      yield found(
        'NODES_SHARE',
        `nodes must have different names, got ${subject.names.nodeName} for [node.${other.node}] and [node.${subject.node}]`,
        placeOf(subject, 'worker_nodes'),
      );
    nodeNames.set(subject.names.nodeName, subject);
  }
}
