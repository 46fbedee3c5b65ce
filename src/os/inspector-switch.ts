/** USR2: open the inspector of this process on the loopback interface, or close it again. */
import { close, url } from 'node:inspector';
import type { Logger } from '../log/logger.ts';
import { openInspector } from '../std/open-inspector.ts';

/** `enabled` false: refused with a line in the log, because whoever reaches the port can run code here. */
export function toggleInspector(enabled: boolean, log: Logger): void {
  if (!enabled) {
    log.warning('inspector.refused', 'SIGUSR2: the inspector stays closed: worker.enable_inspector is false');
  } else if (url() !== undefined) {
    close();
    log.warning('inspector.closed', 'inspector closed');
  } else {
    openInspector();
    log.warning('inspector.open', `inspector listening on ${url() ?? 'no port: none from 6900 on is free'}`);
  }
}
