/** Opens the inspector of this process on the first free port of the loopback interface, as Celery's remote debugger looks for one. */
import inspector from 'node:inspector';

/** Of Celery's remote debugger. */
export const firstInspectorPort = 6900;
/** How a pool child says on its standard error that the next inspector it opens is its own affair and is to stay open. */
export const ownInspectorNotice = 'Remote Debugger: a task waits for a debugger';
const mostPorts = 100;

/** The port; null: none of those from `first` on is free. */
export function openInspector(first = firstInspectorPort): number | null {
  const end = Math.min(first + mostPorts, 65_536);
  for (let port = first; port < end; port++) {
    // A port that is taken is a line on standard error, and no error.
    inspector.open(port, '127.0.0.1');
    if (inspector.url() !== undefined) return port;
  }
  return null;
}
