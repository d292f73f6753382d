// Protects a partition with a client that openapi-typescript made from the served document.
// node client.js ADDRESS PARTITION SHARE: prints what it saw as JSON.
import createClient from "openapi-fetch";

import type { components, paths } from "./fabric-backup.js";

type Schemas = components["schemas"];

const [address, partitionId, share] = process.argv.slice(2) as [string, string, string];
const api = createClient<paths>({ baseUrl: address });
const query = { "api-version": "6.4" } as const;
const here = { params: { path: { partitionId }, query } } as const;
const ended = ["Success", "Failure", "Timeout"];

const policy: Schemas["BackupPolicyDescription"] = {
  Name: "from TypeScript",
  AutoRestoreOnDataLoss: false,
  MaxIncrementalBackups: 3,
  Schedule: { ScheduleKind: "FrequencyBased", Interval: "PT12H" },
  Storage: { StorageKind: "FileShare", Path: share },
  RetentionPolicy: { RetentionPolicyType: "Basic", RetentionDuration: "P3M", MinimumNumberOfBackups: 2 },
};

interface Reply<T> {
  data?: T;
  error?: Schemas["FabricError"];
  response: Response;
}

/** The answer, or an exception with the code and message that the service gave. */
async function done<T>(reply: Promise<Reply<T>>): Promise<T> {
  const { data, error, response } = await reply;
  if (error) throw new Error(`${response.status} ${error.Error.Code}: ${error.Error.Message}`);
  return data as T;
}

/** Asks until the job has ended. */
async function end<T>(ask: () => Promise<T | null>, state: (progress: T) => string | undefined): Promise<T> {
  for (;;) {
    const progress = await ask();
    if (progress && ended.includes(state(progress) ?? "")) return progress;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

await done(api.POST("/BackupRestore/BackupPolicies/$/Create", { params: { query }, body: policy }));
await done(api.POST("/Partitions/{partitionId}/$/EnableBackup", { ...here, body: { BackupPolicyName: policy.Name } }));
const inForce = await done(api.GET("/Partitions/{partitionId}/$/GetBackupConfigurationInfo", here));

await done(api.POST("/Partitions/{partitionId}/$/Backup", { ...here, body: {} }));
const backup = await end(
  () => done(api.GET("/Partitions/{partitionId}/$/GetBackupProgress", here)),
  (progress) => progress.BackupState,
);
const page = await done(api.GET("/Partitions/{partitionId}/$/GetBackups", here));
const latest = page.Items?.at(-1);
if (!latest?.BackupId || !latest.BackupLocation) throw new Error("the backup is not listed");

const chosen = { BackupId: latest.BackupId, BackupLocation: latest.BackupLocation };
await done(api.POST("/Partitions/{partitionId}/$/Restore", { ...here, body: chosen }));
const restore = await end(
  () => done(api.GET("/Partitions/{partitionId}/$/GetRestoreProgress", here)),
  (progress) => progress.RestoreState,
);

const kept = await done(
  api.GET("/BackupRestore/BackupPolicies/{backupPolicyName}", {
    params: { path: { backupPolicyName: policy.Name }, query },
  }),
);
const twice = await api.POST("/BackupRestore/BackupPolicies/$/Create", { params: { query }, body: policy });

console.log(
  JSON.stringify({
    policy: kept,
    // A union: which of its members this is decides which properties there are.
    interval: kept.Schedule.ScheduleKind === "FrequencyBased" ? kept.Schedule.Interval : null,
    inForce,
    backup,
    listed: page.Items?.map((item) => item.BackupId),
    restore,
    refused: { status: twice.response.status, code: twice.error?.Error.Code },
  }),
);
