import { DEFAULT_CONFIG } from '../config/load.ts';

/** What `dtc-xen-agent --help` prints; its manual page and its completion follow from it. */
export const AGENT_USAGE = `Usage: dtc-xen-agent serve [--config FILE]
       dtc-xen-agent call OPERATION [ARGUMENT]... [--config FILE]
       dtc-xen-agent base list | refresh [stale] | drop BASE...|all [--config FILE]
       dtc-xen-agent config get KEY | set | take-over [--config FILE]
       dtc-xen-agent passwd [USER] [--config FILE]
       dtc-xen-agent cert renew [force] [--config FILE]
       dtc-xen-agent job FOLDER [--config FILE]
       dtc-xen-agent check-config [--config FILE]

serve         answer SOAP calls until SIGTERM; SIGHUP reads the certificate anew
call          do one operation here and now, as the admin, under the same locks; arguments are values in the operation's
              order, or NAME=VALUE each; a password is read from standard input where the value is -
base          the bootstrapped systems that reinstalls are unpacked from: show them, make them anew (stale: where they are old,
              as every night), remove them when nobody uses them
config        get prints a key's value; set reads KEY=value lines from standard input, and makes the file where there is
              none; take-over makes it of what DTC-Xen left beside it
passwd        set a SOAP user's password, the admin's without a name; it is read from standard input
cert          renew makes the self-signed certificate anew, in all names and addresses that the node has now, over the same key;
              force: in place of one that an authority issued, too
job           the process of a job that the agent started; not for people
check-config  say whether the configuration file can be used, and what else of the node should be changed: users who cannot log
              in, what makes an installation fail, names that the certificate lacks, what LVM and mdadm read of guests' disks

--config FILE  configuration (default: ${DEFAULT_CONFIG})
--help         print this
--version      print the version

Exit status: 0 done, 1 refused or failed, 2 wrong usage or configuration.
`;
