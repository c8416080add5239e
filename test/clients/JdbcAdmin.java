import java.sql.Array;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.List;
import org.postgresql.PGStatement;

/** The admin database with PostgreSQL's JDBC driver; prints what it is given, a line for each thing, its parts between bars. */
public class JdbcAdmin {
  /** From the fifth on the driver has a statement of the server's, and takes what it can in binary. */
  static final int EXECUTIONS = 8;

  /** URL USER PASSWORD */
  public static void main(String[] args) throws Exception {
    try (Connection connection = DriverManager.getConnection(args[0], args[1], args[2])) {
      print("driver", org.postgresql.Driver.getVersion());
      print("valid", connection.isValid(5), connection.getSchema(), connection.getCatalog());
      statements(connection);
      prepared(connection);
      objects(connection);
      portions(connection);
      metaData(connection.getMetaData());
      commands(connection);
      print("valid", connection.isValid(5));
    }
  }

  static void statements(Connection connection) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      for (String sql : List.of("SHOW CLUSTER", "SELECT state, writer FROM cluster")) {
        try (ResultSet rows = statement.executeQuery(sql)) {
          while (rows.next()) print(sql, rows.getString("state"), rows.getString("writer"));
        }
      }
    }
  }

  static void prepared(Connection connection) throws SQLException {
    String sql =
        "SELECT id, port, port::int8 AS wide, port / 4.0 AS quarter, role = ? AS is_one, now() AS seen"
            + " FROM instances WHERE id = ? AND port > ? AND now() > ?";
    try (PreparedStatement select = connection.prepareStatement(sql);
        PreparedStatement show = connection.prepareStatement("SHOW ENDPOINTS")) {
      for (int count = 0; count < EXECUTIONS; count++) {
        select.setString(1, "writer");
        select.setString(2, "instance-1");
        select.setInt(3, 1024);
        select.setObject(4, OffsetDateTime.now().minusYears(1));
        try (ResultSet rows = select.executeQuery()) {
          while (rows.next()) {
            long agoMs = Math.abs(System.currentTimeMillis() - rows.getTimestamp("seen").getTime());
            print("prepared", rows.getString("id"), rows.getInt("port"), rows.getLong("wide"),
                rows.getDouble("quarter"), rows.getBoolean("is_one"), agoMs < 60_000);
          }
        }
        try (ResultSet rows = show.executeQuery()) {
          while (rows.next()) {
            Array members = rows.getArray("members");
            String all = members == null ? "null" : String.join(",", (String[]) members.getArray());
            print("show " + count, rows.getString("id"), rows.getInt("port"), all);
          }
        }
      }
      print("server's", isServers(select), isServers(show));
    }
  }

  static boolean isServers(PreparedStatement statement) throws SQLException {
    return statement.unwrap(PGStatement.class).isUseServerPrepare();
  }

  /** Each table's values as what the driver makes of their types, which it has to ask for. */
  static void objects(Connection connection) throws SQLException {
    for (String table : List.of("cluster", "endpoints", "instances", "storage", "snapshots", "events")) {
      try (Statement statement = connection.createStatement();
          ResultSet rows = statement.executeQuery("SELECT * FROM " + table)) {
        ResultSetMetaData meta = rows.getMetaData();
        while (rows.next())
          for (int column = 1; column <= meta.getColumnCount(); column++) rows.getObject(column);
        for (int column = 1; column <= meta.getColumnCount(); column++)
          print("column", table, meta.getColumnName(column), meta.getColumnTypeName(column), meta.getColumnClassName(column));
      }
    }
  }

  /** A few rows at a time, which takes a transaction. */
  static void portions(Connection connection) throws SQLException {
    connection.setAutoCommit(false);
    try (Statement statement = connection.createStatement()) {
      statement.setFetchSize(2);
      List<String> ids = new ArrayList<>();
      try (ResultSet rows = statement.executeQuery("SELECT id FROM storage ORDER BY id")) {
        while (rows.next()) ids.add(rows.getString(1));
      }
      print("portions", String.join(",", ids));
    }
    connection.commit();
    connection.setAutoCommit(true);
  }

  static void metaData(DatabaseMetaData meta) throws SQLException {
    print("product", meta.getDatabaseProductName(), meta.getDatabaseMajorVersion() >= 15, meta.getMaxColumnNameLength());
    printAll("schemas", meta.getSchemas(), "TABLE_SCHEM");
    printAll("schemas like", meta.getSchemas(null, "pub%"), "TABLE_SCHEM");
    String[] tables = {"TABLE", "VIEW"};
    printAll("tables", meta.getTables(null, null, "%", tables), "TABLE_SCHEM", "TABLE_NAME", "TABLE_TYPE");
    printAll("tables like", meta.getTables(null, "borealis", "s%", null), "TABLE_NAME", "REMARKS");
    printAll("views", meta.getTables(null, null, "%", new String[] {"VIEW", "SYSTEM TABLE"}), "TABLE_NAME");
    printAll("columns", meta.getColumns(null, "borealis", "sessions", "%"), "TABLE_NAME", "COLUMN_NAME", "TYPE_NAME",
        "DATA_TYPE", "ORDINAL_POSITION", "IS_NULLABLE", "IS_AUTOINCREMENT", "REMARKS");
    printAll("columns like", meta.getColumns(null, null, "%", "%lsn"), "TABLE_NAME", "COLUMN_NAME", "TYPE_NAME");
    printAll("keys", meta.getPrimaryKeys(null, "borealis", "sessions"), "COLUMN_NAME");
    printAll("indexes", meta.getIndexInfo(null, "borealis", "sessions", false, false), "INDEX_NAME");
  }

  static void commands(Connection connection) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      printAll("command", statement.executeQuery("CREATE SNAPSHOT jdbc"), "result");
      try {
        statement.executeQuery("SELECT nobody FROM sessions");
      } catch (SQLException error) {
        print("error", error.getSQLState());
      }
    }
    try (PreparedStatement drop = connection.prepareStatement("DROP SNAPSHOT ?")) {
      drop.setString(1, "jdbc");
      printAll("command", drop.executeQuery(), "result");
    }
  }

  static void printAll(String what, ResultSet rows, String... columns) throws SQLException {
    try (rows) {
      while (rows.next()) {
        List<Object> values = new ArrayList<>();
        for (String column : columns) values.add(rows.getString(column));
        print(what, values.toArray());
      }
    }
  }

  static void print(String what, Object... values) {
    StringBuilder line = new StringBuilder(what);
    for (Object value : values) line.append('|').append(value);
    System.out.println(line);
  }
}
