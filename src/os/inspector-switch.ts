/** USR2: open the inspector of this process on the loopback interface, or close it again. */
import { close, open, url } from 'node:inspector';
import type { Logger } from '../log/logger.ts';

/** `enabled` false: refused with a line in the log, because whoever reaches the port can run code here. */
export function toggleInspector(enabled: boolean, log: Logger): void {
  if (!enabled) {
    log.warning('inspector.refused', 'SIGUSR2: the inspector stays closed: worker.enable_inspector is false');
  } else if (url() !== undefined) {
    close();
    log.warning('inspector.closed', 'inspector closed');
  } else {
    open(0, '127.0.0.1');
    log.warning('inspector.open', `inspector listening on ${url()}`);
  }
}
