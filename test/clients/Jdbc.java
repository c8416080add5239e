import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Properties;

/**
 * PostgreSQL's JDBC driver, as its documentation tells: a connection per thread, setAutoCommit(false), a PreparedStatement
 * that is kept, and is a statement of the server's from its first use on. What it does is told in course.mjs.
 */
public class Jdbc {
  static final int WORKERS = 3;
  static final long REST_MS = 10;
  static final List<String> acknowledged = Collections.synchronizedList(new ArrayList<>());
  static final List<String> errors = Collections.synchronizedList(new ArrayList<>());
  static volatile boolean stopping = false;

  /** URL USER PASSWORD */
  public static void main(String[] args) throws Exception {
    Properties properties = new Properties();
    properties.setProperty("user", args[1]);
    properties.setProperty("password", args[2]);
    properties.setProperty("prepareThreshold", "1");
    String version = org.postgresql.Driver.getVersion();
    try (Connection first = DriverManager.getConnection(args[0], properties);
        Statement statement = first.createStatement()) {
      statement.execute("CREATE TABLE rows_of_jdbc (key text, worker int)");
    }
    List<Thread> threads = new ArrayList<>();
    for (int worker = 0; worker < WORKERS; worker++) {
      int own = worker;
      Thread thread = new Thread(() -> work(own, args[0], properties));
      threads.add(thread);
      thread.start();
    }
    while (System.in.read() >= 0) {
      // Until standard input ends.
    }
    stopping = true;
    for (Thread thread : threads) thread.join();
    List<String> found = new ArrayList<>();
    try (Connection last = DriverManager.getConnection(args[0], properties);
        Statement statement = last.createStatement();
        ResultSet rows = statement.executeQuery("SELECT key FROM rows_of_jdbc")) {
      while (rows.next()) found.add(quoted(rows.getString(1)));
    }
    System.out.println(
        "{\"version\":" + quoted(version) + ",\"acknowledged\":" + acknowledged + ",\"errors\":" + errors
            + ",\"found\":" + found + "}");
  }

  static void work(int worker, String url, Properties properties) {
    int n = 0;
    while (!stopping) {
      String key = "";
      try (Connection connection = DriverManager.getConnection(url, properties)) {
        connection.setAutoCommit(false);
        try (PreparedStatement insert =
            connection.prepareStatement("INSERT INTO rows_of_jdbc VALUES (?, ?)")) {
          while (!stopping) {
            key = worker + ":" + n++;
            insert.setString(1, key);
            insert.setInt(2, worker);
            insert.executeUpdate();
            connection.commit();
            acknowledged.add(quoted(key));
            Thread.sleep(REST_MS);
          }
        }
      } catch (SQLException error) {
        errors.add(
            "{\"key\":" + quoted(key) + ",\"code\":" + quoted(String.valueOf(error.getSQLState()))
                + ",\"message\":" + quoted(error.getMessage()) + "}");
      } catch (InterruptedException error) {
        return;
      }
    }
  }

  static String quoted(String text) {
    StringBuilder out = new StringBuilder("\"");
    for (char c : text.toCharArray()) {
      if (c == '"' || c == '\\') out.append('\\').append(c);
      else if (c < ' ') out.append(String.format("\\u%04x", (int) c));
      else out.append(c);
    }
    return out.append('"').toString();
  }
}
