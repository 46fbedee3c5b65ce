/** Pid and log files of nodes for which none are configured, as in Celery's guide. */
export const defaultFiles = { pidfile: '/var/run/umbel/%n.pid', logfile: '/var/log/umbel/%n%I.log' } as const;
