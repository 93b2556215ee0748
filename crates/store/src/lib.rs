//! SQL for every port, transactions, migrations.
