// What the compiler must refuse, since the document says otherwise. One mistake a line that is expected.
import createClient from "openapi-fetch";

import type { components, paths } from "./fabric-backup.js";

const api = createClient<paths>({ baseUrl: "http://127.0.0.1" });
const query = { "api-version": "6.4" } as const;

// @ts-expect-error: a policy needs a storage.
const incomplete: components["schemas"]["BackupPolicyDescription"] = {
  Name: "a",
  AutoRestoreOnDataLoss: false,
  MaxIncrementalBackups: 3,
  Schedule: { ScheduleKind: "FrequencyBased", Interval: "PT12H" },
};

const mixed: components["schemas"]["BackupStorageDescription"] = {
  StorageKind: "FileShare",
  // @ts-expect-error: a file share has no container.
  ContainerName: "c",
};

// @ts-expect-error: there is no such operation.
void api.GET("/Partitions/{partitionId}/$/GetBackup", { params: { path: { partitionId: "" }, query } });

// @ts-expect-error: the version must be said.
void api.GET("/BackupRestore/BackupPolicies", { params: { query: {} } });

void [incomplete, mixed];
